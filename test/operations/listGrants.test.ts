import { expect } from "vitest";
import { openConsent, registerApp, requestOf, signedInBrowser } from "../support/authorizations.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { ownAudience } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
await service.register("miguel");
await service.register("susan");
const basic: [string, string] = ["miguel", password];
const apps = [];
for (const name of ["One", "Two", "Three"]) apps.push(await registerApp(service, administrator, { name }));
const [one] = apps as [(typeof apps)[0]];
const browser = await signedInBrowser(service, "miguel", one);
for (const app of apps) await browser.decide(await openConsent(browser, requestOf(app).query), "allow");

describeOperation("listGrants", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the newest first, in pages": async () => {
        const first = await service.send("GET", "/api/grants?limit=2", { basic });
        expect(first.json.grants.map((grant: { client_name: string }) => grant.client_name)).toEqual(["Three", "Two"]);
        const second = await service.send("GET", `/api/grants?limit=2&cursor=${first.json.next_cursor}`, { basic });
        expect(second.json).toEqual({
          grants: [
            {
              id: expect.any(String),
              client_id: one.client_id,
              client_name: "One",
              audience: ownAudience,
              scopes: ["openid", "account:read"],
              created_at: expect.any(String),
              updated_at: expect.any(String),
            },
          ],
          next_cursor: null,
        });
      },
      "with what a second consent adds": async () => {
        await browser.decide(await openConsent(browser, requestOf(one, { scope: "account:write" }).query), "allow");
        const { json } = await service.send("GET", "/api/grants", { basic });
        expect(json.grants).toHaveLength(3);
        expect(json.grants[2].scopes).toEqual(["account:read", "account:write", "openid"]);
        expect(json.grants[2].updated_at > json.grants[2].created_at).toBe(true);
      },
      "without those of others, and what the user denied": async () => {
        const other = await signedInBrowser(service, "susan", one);
        await other.decide(await openConsent(other, requestOf(one).query), "deny");
        expect((await service.send("GET", "/api/grants", { basic: ["susan", password] })).json.grants).toEqual([]);
      },
    },
  },
});
