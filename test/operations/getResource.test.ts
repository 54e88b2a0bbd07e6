import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  refusesGuessing,
  refusesStrangers,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
await service.register("miguel");

describe("GET /api/resource", () => {
  const request = {
    method: "GET",
    target: "/api/resource",
    good: () => Promise.resolve({ basic: ["miguel", password] as [string, string] }),
  };

  test("200 with a password, a token, and a token as the username with any password", async () => {
    const token = await service.token("miguel");
    const ways = [
      { basic: ["miguel", password] },
      { basic: ["MIGUEL", password] },
      { bearer: token },
      { basic: [token, "unused"] },
      { basic: [token, ""] },
      { headers: { authorization: `bEaReR ${token}` } },
    ] as { basic?: [string, string] }[];
    for (const way of ways) {
      expect(await service.send("GET", "/api/resource", way)).toMatchObject({
        status: 200,
        json: { data: "Hello, miguel!" },
      });
    }
  });

  test("a composed and a decomposed password are the same", async () => {
    await service.send("POST", "/api/users", { json: { username: "zoe", password: "crème brûlée à Nîmes" } });
    const answer = await service.send("GET", "/api/resource", {
      basic: ["zoe", "crème brûlée à Nîmes".normalize("NFD")],
    });
    expect(answer.status).toBe(200);
  });

  refusesUnsoundRequests(service, request);
  refusesStrangers(service, request);
  refusesGuessing(service, request);

  test("401 token-expired says when, and is told from a forged one", async () => {
    const bearer = await service.token("miguel");
    service.advance(599);
    expect((await service.send("GET", "/api/resource", { bearer })).status).toBe(200);
    service.advance(2);
    for (const sent of [{ bearer }, { basic: [bearer, "unused"] as [string, string] }]) {
      const answer = await service.send("GET", "/api/resource", sent);
      expect(answer).toMatchObject({ status: 401, problem: "token-expired" });
      expect(answer.json.detail).toMatch(/expired at \d{4}-/);
      expect(answer.header("www-authenticate")).toContain('error_description="The token has expired"');
    }
    service.advance(-601);
  });

  refusesUnreadableForms(service, request);
  survivesFaults(service, request);
});
