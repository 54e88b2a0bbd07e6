import { expect } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const browser = createPageBrowser(service);
await browser.signIn(await browser.begin(await storeClient(service)), username);

const uri = "https://app.example/signed-out";
const clientWithUri = () => insertClient(service, { postLogoutRedirectUris: [uri] });

describeOperation("getSignOutPage", {
  service,
  request: () => ({ headers: { cookie: browser.cookieHeader() } }),
  cases: {
    200: {
      "with a question for a user who is signed in, and ends nothing": async () => {
        for (let count = 0; count < 2; count += 1) {
          const answer = await browser.open("/oauth/sign-out");
          expect(answer.text).toContain(`You are signed in as ${username}.`);
        }
      },
      "although a parameter is unknown": async () => {
        const answer = await browser.open("/oauth/sign-out?x-client-SKU=ID_NET8_0&ui_locales=de&logout_hint=x&[x]=1");
        expect(answer.text).toContain(`You are signed in as ${username}.`);
      },
      "without a question for everyone else": async () => {
        const answer = await service.send("GET", "/oauth/sign-out");
        expect(answer.status).toBe(200);
        expect(answer.text).toContain("You are signed out");
        expect(answer.text).not.toContain("<form");
      },
    },
    303: {
      "to the client without a session, with its state": async () => {
        const { id } = await clientWithUri();
        const query = new URLSearchParams({ client_id: id, post_logout_redirect_uri: uri, state: "a state" });
        const answer = await service.send("GET", `/oauth/sign-out?${query}`);
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe(`${uri}?state=a%20state`);
      },
      "to the client with a state that is ten times as long in a URL": async () => {
        const { id } = await clientWithUri();
        const query = new URLSearchParams({ client_id: id, post_logout_redirect_uri: uri, state: "€".repeat(1_200) });
        const answer = await service.send("GET", `/oauth/sign-out?${query}`);
        expect(answer.header("location")).toBe(`${uri}?state=${"%E2%82%AC".repeat(1_200)}`);
      },
    },
    400: each(
      "and no redirect for %s",
      [
        ["a URI that is not registered", { post_logout_redirect_uri: `${uri}/` }],
        ["a registered URI with more behind it", { post_logout_redirect_uri: `${uri}?x=1` }],
        ["an unknown client", { client_id: `lkc_${"0".repeat(32)}`, post_logout_redirect_uri: uri }],
        ["a URI without a client", { client_id: "", post_logout_redirect_uri: uri }],
        ["a hint that is no ID token", { id_token_hint: "x.y.z", post_logout_redirect_uri: uri }],
        ["a state of 2,049 characters", { post_logout_redirect_uri: uri, state: "x".repeat(2_049) }],
        ["a state of 2,049 characters without a URI", { state: "x".repeat(2_049) }],
        ["a state with a line break", { post_logout_redirect_uri: uri, state: "a\nb" }],
        ["an access token as the hint", { id_token_hint: await service.token(username) }],
      ],
      async (_label, parameters) => {
        const { id } = await clientWithUri();
        const answer = await service.send(
          "GET",
          `/oauth/sign-out?${new URLSearchParams({ client_id: id, ...parameters })}`,
        );
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.header("location")).toBeUndefined();
      },
    ),
  },
});
