import { expect } from "vitest";
import { openBrowser } from "../support/cookieBrowser.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
const browser = openBrowser(service);
await browser.signIn(await browser.go("GET", "/oauth/device"), username);
const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; ");

describeOperation("getDevicePage", {
  service,
  request: () => ({ headers: { cookie } }),
  cases: {
    200: {
      "with a form for the code, which is filled in if the link has it": async () => {
        const empty = await browser.request("GET", "/oauth/device");
        expect(empty.text).toContain('name="user_code" value=""');
        const filledIn = await browser.request("GET", "/oauth/device?user_code=WDJB-MJHT");
        expect(filledIn.text).toContain('name="user_code" value="WDJB-MJHT"');
        expect(filledIn.text).not.toContain('name="decision"');
      },
      "with the code as text, whatever it contains": async () => {
        const answer = await browser.request("GET", "/oauth/device?user_code=%22%3E%3Cscript%3E");
        expect(answer.text).toContain('value="&quot;&gt;&lt;script&gt;"');
      },
    },
    303: {
      "to the sign-in page without a session, with the code": async () => {
        const answer = await service.send("GET", "/oauth/device?user_code=WDJB-MJHT");
        expect(answer).toMatchObject({ status: 303 });
        expect(answer.header("location")).toBe("sign-in?user_code=WDJB-MJHT");
      },
    },
    400: {
      "for a code that is too long": async () => {
        expect((await browser.request("GET", `/oauth/device?user_code=${"B".repeat(65)}`)).status).toBe(400);
      },
    },
  },
});
