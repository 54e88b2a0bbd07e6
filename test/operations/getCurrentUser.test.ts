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
const miguel = await service.register("miguel");

describe("GET /api/users/me", () => {
  const request = {
    method: "GET",
    target: "/api/users/me",
    good: () => Promise.resolve({ basic: ["miguel", password] as [string, string] }),
  };

  test("200 with oneself", async () => {
    expect(await service.send("GET", "/api/users/me", await request.good())).toMatchObject({
      status: 200,
      json: miguel,
    });
    expect(await service.send("GET", "/api/users/me", { bearer: await service.token("miguel") })).toMatchObject({
      status: 200,
      json: miguel,
    });
  });

  test("HEAD gives the headers of GET and no body", async () => {
    const head = await service.send("HEAD", "/api/users/me", await request.good());
    const get = await service.send("GET", "/api/users/me", await request.good());
    expect(head.status).toBe(200);
    expect(head.header("content-length")).toBe(get.header("content-length"));
    expect((await service.send("HEAD", "/api/users/me")).status).toBe(401);
  });

  refusesUnsoundRequests(service, request);
  refusesStrangers(service, request);
  refusesGuessing(service, request);
  refusesUnreadableForms(service, request);
  survivesFaults(service, request);
});
