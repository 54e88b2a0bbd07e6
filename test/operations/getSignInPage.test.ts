import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await storeClient(service);
const browser = createPageBrowser(service);
const authorization = await browser.begin(client, { login_hint: "an expected name" });
await browser.signIn(authorization, username);
const cookie = browser.cookieHeader();
const target = `/oauth/sign-in?authorization=${authorization}`;

describeOperation("getSignInPage", {
  service,
  target,
  request: () => ({ headers: { cookie } }),
  cases: {
    200: {
      "with a form, the name of the client, and the expected username": async () => {
        const answer = await service.send("GET", target, { headers: { cookie } });
        expect(answer).toMatchObject({ status: 200, problem: undefined });
        expect(answer.text).toContain("to continue to Parcel tracker");
        expect(answer.text).toContain('value="an expected name"');
        expect(answer.text).toContain(`Signed in as ${username}.`);
        expect(answer.text).not.toContain("Create an account");
      },
      "without an authorization request, with a cookie and a token": async () => {
        const answer = await service.send("GET", "/oauth/sign-in?user_code=WDJB-MJHT");
        expect(answer.status).toBe(200);
        expect(answer.header("set-cookie")).toMatch(/^__Host-latchkey-browser=[\w-]{43}; /);
        expect(answer.text).toMatch(/name="token" value="[\w-]{43}"/);
        expect(answer.text).toContain('name="user_code" value="WDJB-MJHT"');
      },
    },
    400: {
      "for the authorization request of another browser, and for none": async () => {
        for (const wrong of [target, "/oauth/sign-in?authorization=a..b.c.d", "/oauth/sign-in?authorization=a"]) {
          const answer = await service.send("GET", wrong);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.text).toContain("This page has expired");
        }
      },
      "for an authorization request after ten minutes": async () => {
        const late = await startTestService({}, service.databaseUrl);
        late.advance(601);
        const answer = await late.send("GET", target, { headers: { cookie } });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        await late.close();
      },
    },
  },
});
