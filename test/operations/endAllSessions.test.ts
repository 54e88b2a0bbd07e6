import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  refusesGuessing,
  refusesOtherSites,
  refusesStrangers,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

describe("DELETE /api/sessions", () => {
  const request = { method: "DELETE", target: "/api/sessions", good: () => Promise.resolve({ basic }) };

  test("204, and no token of the user works any more, of no session; the password does", async () => {
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
    expect((await service.send("GET", "/api/resource", { bearer: await service.token("miguel") })).status).toBe(200);
  });

  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);
  refusesStrangers(service, request);
  refusesGuessing(service, request);
  survivesFaults(service, request);
});
