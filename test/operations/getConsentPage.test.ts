import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { callback, createPageBrowser, storeClient } from "../support/pageBrowser.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const client = await storeClient(service);
const browser = createPageBrowser(service);
const authorization = await browser.begin(client);
await browser.signIn(authorization, username);
const headers = { cookie: browser.cookieHeader() };
const target = `/oauth/consent?authorization=${authorization}`;

describeOperation("getConsentPage", {
  service,
  target,
  request: () => ({ headers }),
  cases: {
    200: {
      "with the client, where it is, what it asks for, and who decides": async () => {
        const answer = await service.send("GET", target, { headers });
        for (const text of [
          "Allow Parcel tracker?",
          "app.example",
          "See your username.",
          `Signed in as ${username}.`,
        ]) {
          expect(answer.text).toContain(text);
        }
        expect(answer.header("content-security-policy")).toContain("form-action 'self' https://app.example;");
      },
    },
    303: {
      "to the sign-in page, without a session": async () => {
        const own = createPageBrowser(service);
        const request = await own.begin(client);
        const answer = await own.open(`/oauth/consent?authorization=${request}`);
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toBe(`sign-in?authorization=${request}`);
      },
      "to a first-party client, with a code": async () => {
        const own = createPageBrowser(service);
        const request = await own.begin(await storeClient(service, { isFirstParty: true }));
        await own.signIn(request, username);
        const answer = await own.open(`/oauth/consent?authorization=${request}`);
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toMatch(new RegExp(`^${callback}\\?code=[\\w-]{43}&state=`));
      },
      "to the client, if the user has allowed the same in another tab meanwhile": async () => {
        const own = createPageBrowser(service);
        const asking = await storeClient(service);
        const tabs = [await own.begin(asking), await own.begin(asking)] as const;
        await own.signIn(tabs[0], username);
        for (const tab of tabs) expect((await own.open(`/oauth/consent?authorization=${tab}`)).status).toBe(200);
        await own.submit("/oauth/consent", { authorization: tabs[1], decision: "allow" });
        const answer = await own.open(`/oauth/consent?authorization=${tabs[0]}`);
        expect(answer.status).toBe(303);
        expect(answer.header("location")).toMatch(new RegExp(`^${callback}\\?code=[\\w-]{43}&state=`));
      },
    },
    400: {
      "for the authorization request of another browser, although its user is the same": async () => {
        const other = createPageBrowser(service);
        await other.signIn(await other.begin(client), username);
        const answer = await other.open(target);
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "for a request that the user has denied, although they have allowed the same in another tab since": async () => {
        const own = createPageBrowser(service);
        const asking = await storeClient(service);
        const tabs = [await own.begin(asking), await own.begin(asking)] as const;
        await own.signIn(tabs[0], username);
        for (const tab of tabs) expect((await own.open(`/oauth/consent?authorization=${tab}`)).status).toBe(200);
        await own.submit("/oauth/consent", { authorization: tabs[0], decision: "deny" });
        await own.submit("/oauth/consent", { authorization: tabs[1], decision: "allow" });
        const answer = await own.open(`/oauth/consent?authorization=${tabs[0]}`);
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
      "without an authorization request": async () => {
        const answer = await service.send("GET", "/oauth/consent", { headers });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
  },
});
