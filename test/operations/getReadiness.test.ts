import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const ready = () => service.send("GET", "/readyz");

describeOperation("getReadiness", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with the schema of this version or a newer one": async () => {
        expect(await ready()).toMatchObject({ status: 200, json: { status: "ok" } });
        await service.sql("INSERT INTO migrations (name, batch, migration_time) VALUES ('9999-newer', 2, now())");
        expect((await ready()).status).toBe(200);
      },
    },
    503: {
      "while a migration is missing": async () => {
        await service.sql("UPDATE migrations SET name = 'x-' || name WHERE name = '0002-signing-keys'");
        expect(await ready()).toMatchObject({ status: 503, problem: "schema-mismatch" });
        await service.sql("ALTER TABLE migrations RENAME TO migrations_gone");
        expect(await ready()).toMatchObject({ status: 503, problem: "schema-mismatch" });
        await service.sql("ALTER TABLE migrations_gone RENAME TO migrations");
        await service.sql("UPDATE migrations SET name = substr(name, 3) WHERE name LIKE 'x-%'");
        expect((await ready()).status).toBe(200);
      },
    },
  },
});
