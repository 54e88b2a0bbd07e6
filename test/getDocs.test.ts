import { describe, expect, test } from "vitest";
import { refusesUnreadableForms, refusesUnsoundRequests } from "./support/common.ts";
import { startTestService } from "./support/service.ts";

const service = await startTestService();

describe("GET /docs", () => {
  const request = { method: "GET", target: "/docs", good: () => Promise.resolve({}) };

  test("200 with a page that has every operation in it and loads nothing", async () => {
    const answer = await service.send("GET", "/docs");
    expect(answer.status).toBe(200);
    expect(answer.text).toContain("createUser");
    expect(answer.text).not.toMatch(/<(?:script|img|iframe)[^>]+src=|<link[^>]+href=/);
    expect(answer.header("content-security-policy")).toMatch(/^default-src 'none'; script-src 'sha256-/);
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
