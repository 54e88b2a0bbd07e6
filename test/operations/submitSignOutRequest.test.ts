import { expect } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const uri = "https://app.example/signed-out";
const newForm = async () => {
  const { id } = await insertClient(service, { postLogoutRedirectUris: [uri] });
  return { client_id: id, post_logout_redirect_uri: uri, state: "x&y" };
};
const form = await newForm();
const id = form.client_id;
const target = "/oauth/sign-out";
const type = { "content-type": "application/x-www-form-urlencoded" };
const crossSite = { origin: "https://app.example", "sec-fetch-site": "cross-site" };

describeOperation("submitSignOutRequest", {
  service,
  // A client that is not in memory.
  request: async () => ({ form: await newForm() }),
  cases: {
    303: {
      "to the question, from a page of any origin, and ends nothing": async () => {
        const browser = createPageBrowser(service);
        await browser.signIn(await browser.begin(await storeClient(service)), username);
        // Browsers send no cookies with it.
        const answer = await service.send("POST", target, { form, headers: crossSite });
        expect(answer).toMatchObject({ status: 303, text: "" });
        expect(answer.headers["set-cookie"]).toBeUndefined();
        const page = await browser.open(`/oauth/${answer.header("location")}`);
        expect(page.text).toContain(`You are signed in as ${username}.`);
        const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
        const done = await browser.submit("/oauth/sign-out-confirmation", { token, ...form });
        expect(done.header("location")).toBe(`${uri}?state=x%26y`);
      },
      "to the page, without parameters that are empty or unknown": async () => {
        for (const body of [
          "x-client-SKU=ID_NET8_0&x-client-ver=7.1",
          "state=&client_id=",
          "state=x&logout_hint=miguel",
        ]) {
          const answer = await service.send("POST", target, { body, headers: { ...type, ...crossSite } });
          expect(answer.header("location"), body).toBe("sign-out");
        }
      },
    },
    400: each<[string, string]>(
      "for %s",
      [
        ["a URI that is not registered", `client_id=${id}&post_logout_redirect_uri=https://evil.example`],
        ["a hint that is no ID token", "id_token_hint=x.y.z"],
        ["a repeated parameter", "state=1&state=2"],
        ["a repeated parameter whose name is encoded", `client_id=${id}&client%5Fid=${id}`],
        ["a malformed escape", "state=%zz"],
        ["a line break in the state", `client_id=${id}&post_logout_redirect_uri=${uri}&state=a%0Ab`],
        ["a state of 2,049 characters", `client_id=${id}&post_logout_redirect_uri=${uri}&state=${"x".repeat(2_049)}`],
        ["a client id with a NUL", "client_id=lkc_%00"],
      ],
      async (_label, body) => {
        const answer = await service.send("POST", target, { body, headers: { ...type, ...crossSite } });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.header("location")).toBeUndefined();
      },
    ),
    413: {
      "for a state that would not fit into a URL": async () => {
        const long = { ...form, state: "€".repeat(1_500) };
        const answer = await service.send("POST", target, { form: long });
        expect(answer).toMatchObject({ status: 413, problem: "payload-too-large" });
      },
    },
  },
});
