import { expect } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { openBrowser, pageOf } from "../support/cookieBrowser.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await insertClient(service, { authentication: "none", name: "Television" });
const browser = openBrowser(service);
await browser.signIn(await browser.go("GET", "/oauth/device"), username);
const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
const [, token = ""] =
  /name="token" value="([^"]+)"/.exec(pageOf(await browser.go("GET", "/oauth/device")).page.text) ?? [];

const newCode = async (): Promise<string> =>
  (await service.send("POST", "/oauth/device-authorization", { form: { client_id: client.id, scope: "openid" } })).json
    .user_code;
const send = (form: Record<string, string>) => browser.request("POST", "/oauth/device", { token, ...form });

describeOperation("decideDevice", {
  service,
  request: async () => ({ form: { token, user_code: await newCode() }, headers: { cookie } }),
  cases: {
    200: {
      "with what the device asks for, and the buttons": async () => {
        const answer = await send({ user_code: await newCode() });
        expect(answer.status).toBe(200);
        for (const text of ["Connect Television?", "See who you are.", 'name="decision" value="allow"']) {
          expect(answer.text).toContain(text);
        }
      },
      ...each(
        "with the result of %s",
        [
          ["allow", "The device is connected"],
          ["deny", "The device was not connected"],
        ],
        async (decision, title) => {
          const answer = await send({ user_code: await newCode(), scope: "openid", decision });
          expect(answer.status).toBe(200);
          expect(answer.text).toContain(title);
        },
      ),
    },
    303: {
      "to the sign-in page without a session": async () => {
        const browserCookie = `__Host-latchkey-browser=${browser.cookies.get("__Host-latchkey-browser")}`;
        const answer = await service.send("POST", "/oauth/device", {
          form: { token, user_code: "WDJB-MJHT", decision: "allow" },
          headers: { cookie: browserCookie },
        });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe("sign-in?user_code=WDJB-MJHT");
      },
    },
    400: {
      ...each(
        "with the form again, for %s",
        [
          ["a wrong code", "BBBB-BBBB"],
          ["no code", ""],
        ],
        async (_label, user_code) => {
          const answer = await send({ user_code });
          expect(answer.status).toBe(400);
          expect(answer.text).toContain("This code is wrong or has expired.");
        },
      ),
      "for the token of no form of this browser": async () => {
        const answer = await send({ user_code: await newCode(), decision: "allow", token: "A".repeat(43) });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
    429: {
      "after too many wrong codes from a network": async () => {
        const limited = await startTestService({ THROTTLE_ADDRESS: "2" }, service.databaseUrl);
        limited.advance(toNextWindowSeconds());
        const wrong = () =>
          limited.send("POST", "/oauth/device", { form: { token, user_code: "BBBB-BBBB" }, headers: { cookie } });
        let answer = await wrong();
        for (let count = 0; count < 2 && answer.status === 400; count += 1) answer = await wrong();
        expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
        expect(answer.header("ratelimit-policy")).toBe('"user-codes";q=2;w=900');
        await limited.close();
      },
    },
  },
});
