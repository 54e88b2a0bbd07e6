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
await service.register("susan");
const begin = async (username: string) =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
const basic: [string, string] = ["miguel", password];

const alive = (await begin("miguel")).id;

describe("DELETE /api/sessions/{id}", () => {
  test("204, and this session no longer works; another one does", async () => {
    const [one, other] = [await begin("miguel"), await begin("miguel")];
    expect((await service.send("DELETE", `/api/sessions/${one.id}`, { bearer: other.access_token })).status).toBe(204);
    expect((await service.send("GET", "/api/resource", { bearer: one.access_token })).problem).toBe("token-revoked");
    expect((await service.send("GET", "/api/resource", { bearer: other.access_token })).status).toBe(200);
  });

  test("404 for another's session, for one that has ended and for none: the same", async () => {
    const foreign = await begin("susan");
    const ended = await begin("miguel");
    await service.send("DELETE", `/api/sessions/${ended.id}`, { basic });
    for (const id of [foreign.id, ended.id, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"]) {
      expect(await service.send("DELETE", `/api/sessions/${id}`, { basic })).toMatchObject({
        status: 404,
        problem: "not-found",
      });
    }
    expect((await service.send("GET", "/api/resource", { bearer: foreign.access_token })).status).toBe(200);
  });

  const request = { method: "DELETE", target: `/api/sessions/${alive}`, good: () => Promise.resolve({ basic }) };
  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);
  refusesStrangers(service, request);
  refusesGuessing(service, request);
  survivesFaults(service, request);
});
