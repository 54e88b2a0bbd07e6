import { expect } from "vitest";
import type { Received } from "../support/client.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { password, startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await storeClient(service);
const browser = createPageBrowser(service);
const authorization = await browser.begin(client);
const headers = { cookie: browser.cookieHeader() };
const form = { authorization, username, password };

describeOperation("signIn", {
  service,
  request: () => ({ form, headers }),
  cases: {
    303: {
      "to the consent page, with a session": async () => {
        const answer = await service.send("POST", "/oauth/sign-in", { form, headers });
        expect(answer).toMatchObject({ status: 303, text: "" });
        expect(answer.header("location")).toBe(`consent?authorization=${authorization}`);
        expect(answer.header("set-cookie")).toMatch(
          /^__Host-latchkey=[0-9a-f-]{36}\.[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
        );
      },
      "to the page of a device": async () => {
        const own = createPageBrowser(service);
        const page = await own.open("/oauth/sign-in?user_code=WDJB-MJHT");
        const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
        const answer = await own.submit("/oauth/sign-in", { token, user_code: "WDJB-MJHT", username, password });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe("device?user_code=WDJB-MJHT");
      },
    },
    400: {
      "with the form again, for a wrong password and an unknown user alike": async () => {
        const answers: Received[] = [];
        const work: number[] = [];
        for (const name of [username, "nobody"]) {
          const before = service.hashingWork();
          const wrong = { ...form, username: name, password: "a wrong password" };
          answers.push(await service.send("POST", "/oauth/sign-in", { form: wrong, headers }));
          work.push(service.hashingWork() - before);
        }
        expect(work[0]).toBeGreaterThan(0);
        expect(work[1]).toBe(work[0]);
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 400, problem: "invalid-credentials" });
          expect(answer.text).toContain("The username or password is wrong.");
          expect(answer.text).not.toContain("a wrong password");
          expect(answer.header("set-cookie")).toBeUndefined();
        }
        expect(answers[1]?.text).toBe(answers[0]?.text.replaceAll(`"${username}"`, '"nobody"'));
      },
      "for a form of another browser, before the password is checked": async () => {
        const hashed = service.hashingWork();
        const other = createPageBrowser(service);
        await other.begin(client);
        const stranger = { cookie: other.cookieHeader() };
        const token = "9vZkq3mXnR0cT1bY5sHfW2uJ8dLpA6eGoiKxQzN4wVE";
        for (const sent of [
          { form, headers: stranger },
          { form, headers: {} },
          { form: { username, password, token }, headers },
          { form: { username, password }, headers },
        ]) {
          const answer = await service.send("POST", "/oauth/sign-in", sent);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        }
        expect(service.hashingWork()).toBe(hashed);
      },
    },
    429: {
      "after too many wrong passwords, with the remaining time": async () => {
        const strict = await startTestService({ THROTTLE_ACCOUNT_ADDRESS: "2" }, service.databaseUrl);
        strict.advance(toNextWindowSeconds());
        const own = createPageBrowser(strict);
        const wrong = { authorization: await own.begin(client), username, password: "a wrong password" };
        const tries = [];
        for (let count = 0; count < 4; count += 1) {
          tries.push(await own.submit("/oauth/sign-in", wrong));
        }
        const last = tries.at(-1);
        expect(last).toMatchObject({ status: 429, problem: "too-many-requests" });
        const seconds = Number(last?.header("retry-after"));
        expect(last?.text).toMatch(/Try again in \d+ (seconds|minutes)\./);
        expect(seconds).toBeGreaterThan(0);
        // The API counts with the page.
        expect((await strict.send("GET", "/api/token", { basic: [username, password] })).status).toBe(429);
        await strict.close();
      },
    },
  },
});
