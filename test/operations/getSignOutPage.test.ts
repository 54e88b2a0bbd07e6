import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const browser = createPageBrowser(service);
await browser.signIn(await browser.begin(await storeClient(service)), username);

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
      "without a question for everyone else": async () => {
        const answer = await service.send("GET", "/oauth/sign-out");
        expect(answer.status).toBe(200);
        expect(answer.text).toContain("You are signed out");
        expect(answer.text).not.toContain("<form");
      },
    },
  },
});
