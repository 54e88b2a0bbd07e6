import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { callback, createPageBrowser, type PageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await storeClient(service);

/** A browser that shows the consent page. */
async function asked(prompt = "consent"): Promise<{ browser: PageBrowser; authorization: string }> {
  const browser = createPageBrowser(service);
  const authorization = await browser.begin(client, { prompt });
  await browser.signIn(authorization, username);
  const page = await browser.open(`/oauth/consent?authorization=${authorization}`);
  expect(page.status).toBe(200);
  return { browser, authorization };
}

describeOperation("decideConsent", {
  service,
  request: async () => {
    const { browser, authorization } = await asked();
    return { form: { authorization, decision: "allow" }, headers: { cookie: browser.cookieHeader() } };
  },
  cases: {
    303: {
      "to the client, with a code": async () => {
        const { browser, authorization } = await asked();
        const answer = await browser.submit("/oauth/consent", { authorization, decision: "allow" });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toMatch(new RegExp(`^${callback}\\?code=[\\w-]{43}&state=a%20state&iss=`));
      },
      "to the client, with access_denied": async () => {
        const { browser, authorization } = await asked();
        const answer = await browser.submit("/oauth/consent", { authorization, decision: "deny" });
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toContain("error=access_denied");
      },
      "to the sign-in page, if the session has ended meanwhile": async () => {
        const { browser, authorization } = await asked();
        browser.cookies.delete("__Host-latchkey");
        const answer = await browser.submit("/oauth/consent", { authorization, decision: "allow" });
        expect(answer.header("location")).toBe(`sign-in?authorization=${authorization}`);
      },
    },
    400: {
      "for another decision, and for a second one": async () => {
        const { browser, authorization } = await asked();
        for (const [decision, status] of [
          ["maybe", 400],
          ["deny", 303],
          ["allow", 400],
        ] as const) {
          const answer = await browser.submit("/oauth/consent", { authorization, decision });
          expect(answer.status, decision).toBe(status);
        }
      },
    },
  },
});
