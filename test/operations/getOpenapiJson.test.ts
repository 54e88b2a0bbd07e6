import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /openapi.json", () => {
  const request = { method: "GET", target: "/openapi.json", good: () => Promise.resolve({}) };

  test("200 with the same contract as openapi.yaml", async () => {
    const answer = await service.send("GET", "/openapi.json");
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual(parse(readFileSync("openapi.yaml", "utf8")));
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
