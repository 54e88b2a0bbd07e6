import { describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /livez", () => {
  const request = { method: "GET", target: "/livez", good: () => Promise.resolve({}) };

  test("200, also while the database is away: restarting would not help", async () => {
    expect(await service.send("GET", "/livez")).toMatchObject({ status: 200, json: { status: "ok" } });
    await service.withoutDatabase(async () => {
      expect((await service.send("GET", "/livez")).status).toBe(200);
    });
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
