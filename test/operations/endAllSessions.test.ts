import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

describeOperation("endAllSessions", {
  service,
  request: () => ({ basic }),
  cases: {
    204: {
      "and every token of the user is revoked, with or without a session; the password still works": async () => {
        const sessions = [1, 2, 3].map(() => service.send("POST", "/api/sessions", { basic }));
        const tokens = (await Promise.all(sessions)).map(({ json }) => json);
        const plain = await service.token("miguel");
        expect((await service.send("DELETE", "/api/sessions", { bearer: plain })).status).toBe(204);
        for (const bearer of [plain, ...tokens.map(({ access_token }) => access_token)]) {
          expect((await service.send("GET", "/api/resource", { bearer })).problem).toBe("token-revoked");
        }
        for (const { refresh_token } of tokens) {
          expect((await service.send("POST", "/api/token", { json: { refresh_token } })).problem).toBe("token-revoked");
        }
        expect((await service.send("GET", "/api/sessions", { basic })).json.sessions).toEqual([]);
        const bearer = await service.token("miguel");
        expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(200);
      },
    },
  },
});
