import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const miguel = await service.register("miguel");
const target = `/api/users/${miguel.id}/sessions`;

describeOperation("endUserSessions", {
  service,
  target,
  request: () => ({ basic }),
  cases: {
    204: {
      "and ends every token and session of the user, but not the password": async () => {
        const mine: [string, string] = ["miguel", password];
        const bearer = await service.token("miguel");
        const { access_token, refresh_token } = (await service.send("POST", "/api/sessions", { basic: mine })).json;
        expect((await service.send("DELETE", target, { basic })).status).toBe(204);
        for (const one of [bearer, access_token]) {
          expect(await service.send("GET", "/api/resource", { bearer: one })).toMatchObject({
            problem: "token-revoked",
          });
        }
        const refreshed = await service.send("POST", "/api/token", { json: { refresh_token } });
        expect(refreshed).toMatchObject({ status: 401, problem: "token-revoked" });
        expect((await service.send("GET", target, { basic })).json.sessions).toEqual([]);
        expect((await service.send("GET", "/api/resource", { basic: mine })).status).toBe(200);
      },
    },
    404: {
      "for an unknown id": async () => {
        const unknown = "/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b/sessions";
        expect(await service.send("DELETE", unknown, { basic })).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
