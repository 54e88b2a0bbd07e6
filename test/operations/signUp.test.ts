import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { password, startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService({ PAGES_REGISTRATION: "on" });
const { username: taken } = await service.register();
const browser = createPageBrowser(service);
const authorization = await browser.begin(await storeClient(service));
const headers = { cookie: browser.cookieHeader() };
let count = 0;
const form = () => ({ authorization, username: `newcomer${++count}`, password });
const send = (sent: Record<string, string>) =>
  service.send("POST", "/oauth/sign-up", { form: { ...form(), ...sent }, headers });

describeOperation("signUp", {
  service,
  request: () => ({ form: form(), headers }),
  cases: {
    303: {
      "to the consent page, with a session of the new user": async () => {
        const own = createPageBrowser(service);
        const request = await own.begin(await storeClient(service));
        const answer = await own.submit("/oauth/sign-up", {
          ...form(),
          authorization: request,
          username: "somebody.new",
        });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe(`consent?authorization=${request}`);
        const consent = await own.open(`/oauth/${answer.header("location")}`);
        expect(consent.text).toContain("Signed in as somebody.new.");
      },
    },
    400: each<[string, Record<string, string>, string, string]>(
      "with the form again, for %s",
      [
        ["a name that is taken", { username: taken.toUpperCase() }, "username-taken", "This username is taken."],
        ["a short password", { password: "short" }, "password-refused", "at least 15 characters"],
        ["a name with a control character", { username: "a\u0007b" }, "invalid-request", "The Username"],
        ["a name of 257 characters", { username: "x".repeat(257) }, "invalid-request", "more than 64 characters"],
        ["a password with a control character", { password: `${password}\u0007` }, "invalid-request", "The Password"],
      ],
      async (_label, sent, problem, text) => {
        const answer = await send(sent);
        expect(answer).toMatchObject({ status: 400, problem });
        expect(answer.text).toContain(text);
        expect(answer.text).toContain('name="username" value="');
        expect(answer.header("set-cookie")).toBeUndefined();
      },
    ),
    404: {
      "unless PAGES_REGISTRATION is on": async () => {
        const closed = await startTestService({}, service.databaseUrl);
        const answer = await closed.send("POST", "/oauth/sign-up", { form: form(), headers });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        await closed.close();
      },
    },
    429: {
      "after too many registrations": async () => {
        const strict = await startTestService(
          { PAGES_REGISTRATION: "on", THROTTLE_REGISTRATIONS: "1" },
          service.databaseUrl,
        );
        strict.advance(toNextWindowSeconds());
        const own = createPageBrowser(strict);
        const request = await own.begin(await storeClient(service));
        await own.submit("/oauth/sign-up", { ...form(), authorization: request });
        const answer = await own.submit("/oauth/sign-up", { ...form(), authorization: request });
        expect(answer).toMatchObject({ status: 429, problem: "too-many-requests" });
        await strict.close();
      },
    },
  },
});
