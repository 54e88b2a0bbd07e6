import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();

describe("GET /openapi.yaml", () => {
  const request = { method: "GET", target: "/openapi.yaml", good: () => Promise.resolve({}) };

  test("200 with the very file", async () => {
    const answer = await service.send("GET", "/openapi.yaml");
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(readFileSync("openapi.yaml", "utf8"));
  });

  test("200 with PUBLIC_URL as the server, where it is set", async () => {
    const other = await startTestService({ PUBLIC_URL: "https://auth.example.com" });
    const answer = await other.send("GET", "/openapi.yaml");
    expect(parse(answer.text).servers[0].url).toBe("https://auth.example.com");
    const created = await other.send("POST", "/api/users", {
      json: { username: "ann", password: "correct horse battery" },
    });
    expect(created.header("location")).toBe(`https://auth.example.com/api/users/${created.json.id}`);
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});
