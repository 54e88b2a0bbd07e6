import { describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /.well-known/jwks.json", () => {
  const request = { method: "GET", target: "/.well-known/jwks.json", good: () => Promise.resolve({}) };

  test("200 with public keys alone, for anyone, to be cached", async () => {
    const answer = await service.send("GET", request.target);
    expect(answer.status).toBe(200);
    expect(answer.json.keys).toHaveLength(2); // the one that signs, and the next one
    for (const key of answer.json.keys) expect(key).not.toHaveProperty("d");
    expect(answer.header("cache-control")).toBe("public, max-age=300");
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
