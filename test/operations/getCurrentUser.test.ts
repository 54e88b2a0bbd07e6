import { expect } from "vitest";
import { registerApp } from "../support/authorizations.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { issueCode } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const client = await registerApp(service, await service.administrator());
/** A token that the client has got for miguel. */
async function tokenOf(scopes: string[]): Promise<string> {
  const code = await issueCode(service, { clientId: client.client_id, userId: miguel.id, scopes });
  const form = { ...code, client_id: client.client_id };
  return (await service.send("POST", "/oauth/token", { form })).json.access_token;
}
const request = { basic: ["miguel", password] as [string, string] };

describeOperation("getCurrentUser", {
  service,
  request: () => request,
  cases: {
    200: {
      "with the caller, by password and by token": async () => {
        for (const sent of [request, { bearer: await service.token("miguel") }]) {
          expect(await service.send("GET", "/api/users/me", sent)).toMatchObject({ status: 200, json: miguel });
        }
      },
      "with the user of a client that may see the profile": async () => {
        for (const scopes of [["openid", "profile"], ["account:read"]]) {
          const answer = await service.send("GET", "/api/users/me", { bearer: await tokenOf(scopes) });
          expect(answer).toMatchObject({ status: 200, json: miguel });
        }
      },
    },
    403: {
      "for the token of a client that may only know the user's id": async () => {
        const bearer = await tokenOf(["openid"]);
        const refused = { status: 403, problem: "insufficient-scope", json: { scope: "profile" } };
        expect(await service.send("GET", "/api/users/me", { bearer })).toMatchObject(refused);
        expect((await service.send("GET", `/api/users/${miguel.id}`, { bearer })).status).toBe(404);
      },
    },
  },
});
