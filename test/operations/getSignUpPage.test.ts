import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ PAGES_REGISTRATION: "on" });
const { username } = await service.register();
const browser = createPageBrowser(service);
const authorization = await browser.begin(await storeClient(service));
await browser.signIn(authorization, username);
const headers = { cookie: browser.cookieHeader() };
const target = `/oauth/sign-up?authorization=${authorization}`;

describeOperation("getSignUpPage", {
  service,
  target,
  request: () => ({ headers }),
  cases: {
    200: {
      "with a form, to which the sign-in page leads": async () => {
        const signIn = await service.send("GET", target.replace("sign-up", "sign-in"), { headers });
        expect(signIn.text).toContain(`href="sign-up?authorization=${authorization}"`);
        const answer = await service.send("GET", target, { headers });
        expect(answer.text).toContain('autocomplete="new-password"');
      },
    },
    404: {
      "unless PAGES_REGISTRATION is on": async () => {
        const closed = await startTestService({}, service.databaseUrl);
        const answer = await closed.send("GET", target, { headers });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        await closed.close();
      },
    },
  },
});
