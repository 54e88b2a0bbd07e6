import { describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();
const ready = () => service.send("GET", "/readyz");

describe("GET /readyz", () => {
  const request = { method: "GET", target: "/readyz", good: () => Promise.resolve({}) };

  test("200 with the schema of this version, or a newer one", async () => {
    expect(await ready()).toMatchObject({ status: 200, json: { status: "ok" } });
    await service.sql("INSERT INTO migrations (name, batch, migration_time) VALUES ('9999-newer', 2, now())");
    expect((await ready()).status).toBe(200);
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);

  test("503 while the database is away, 200 when it is back", async () => {
    await service.withoutDatabase(async () => {
      expect(await ready()).toMatchObject({ status: 503, problem: "database-unavailable" });
    });
    expect((await ready()).status).toBe(200);
  });

  test("503 where a migration is missing", async () => {
    await service.sql("UPDATE migrations SET name = 'x-' || name WHERE name = '0002-signing-keys'");
    expect(await ready()).toMatchObject({ status: 503, problem: "schema-mismatch" });
    await service.sql("ALTER TABLE migrations RENAME TO migrations_gone");
    expect(await ready()).toMatchObject({ status: 503, problem: "schema-mismatch" });
    await service.sql("ALTER TABLE migrations_gone RENAME TO migrations");
    await service.sql("UPDATE migrations SET name = substr(name, 3) WHERE name LIKE 'x-%'");
    expect((await ready()).status).toBe(200);
  });
});
