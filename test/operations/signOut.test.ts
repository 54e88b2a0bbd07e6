import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await storeClient(service);

/** A browser that shows the sign-out page, and the token of its form. */
async function asked() {
  const browser = createPageBrowser(service);
  await browser.signIn(await browser.begin(client), username);
  const page = await browser.open("/oauth/sign-out");
  const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
  return { browser, token };
}

const sessions = async () =>
  (await service.send("GET", "/api/sessions?limit=100", { basic: [username, password] })).json.sessions.length;

describeOperation("signOut", {
  service,
  request: async () => {
    const { browser, token } = await asked();
    return { form: { token }, headers: { cookie: browser.cookieHeader() } };
  },
  cases: {
    303: {
      "to the client, with its state": async () => {
        const { browser, token } = await asked();
        const uri = "https://app.example/signed-out?from=latchkey";
        await service.sql("UPDATE clients SET post_logout_redirect_uris = ARRAY[$2] WHERE id = $1", [client, uri]);
        const other = await startTestService({}, service.databaseUrl); // has not read the client yet
        const answer = await other.send("POST", "/oauth/sign-out-confirmation", {
          form: { token, client_id: client, post_logout_redirect_uri: uri, state: "x&y" },
          headers: { cookie: browser.cookieHeader() },
        });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe(`${uri}&state=x%26y`);
        await other.close();
      },
      "to the page that says so, without the session and its cookie": async () => {
        const { browser, token } = await asked();
        const before = await sessions();
        const cookie = browser.cookieHeader();
        const answer = await browser.submit("/oauth/sign-out-confirmation", { token });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe("sign-out");
        expect(answer.header("set-cookie")).toBe("__Host-latchkey=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax");
        expect(await sessions()).toBe(before - 1);
        const page = await service.send("GET", "/oauth/sign-out", { headers: { cookie } });
        expect(page.text).toContain("You are signed out");
      },
    },
    400: {
      "for a URI that is not registered, and ends nothing": async () => {
        const { browser, token } = await asked();
        const before = await sessions();
        const form = { token, client_id: client, post_logout_redirect_uri: "https://evil.example" };
        expect((await browser.submit("/oauth/sign-out-confirmation", form)).status).toBe(400);
        expect(await sessions()).toBe(before);
      },
      "for the token of another browser": async () => {
        const [{ token }, { browser }] = [await asked(), await asked()];
        const before = await sessions();
        const answer = await browser.submit("/oauth/sign-out-confirmation", { token });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(await sessions()).toBe(before);
      },
    },
  },
});
