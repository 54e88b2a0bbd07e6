import { expect, test } from "vitest";
import { migrate, migrationNames } from "../src/database/migrate.ts";
import { openForMigration } from "../src/database/pool.ts";
import { createDatabase, startTestService } from "./support/service.ts";

const migrateOnce = async (url: string) => {
  const knex = openForMigration(url);
  try {
    return await migrate(knex);
  } finally {
    await knex.destroy();
  }
};

test("eight instances that start at once on an empty database migrate it exactly once", async () => {
  const url = await createDatabase("template0");
  const applied = await Promise.all(Array.from({ length: 8 }, () => migrateOnce(url)));
  expect(applied.filter((names) => names.length > 0)).toEqual([migrationNames]);
});

test("three services that start at once on an empty database agree on one signing key", async () => {
  const url = await createDatabase("template0");
  const services = await Promise.all([1, 2, 3].map(() => startTestService({}, url)));
  const [first, ...others] = await Promise.all(
    services.map((service) => service.send("GET", "/.well-known/jwks.json")),
  );
  expect(first?.json.keys).toHaveLength(1);
  for (const other of others) expect(other.json).toEqual(first?.json);
});

test("a migration that was killed half-way leaves nothing behind, and no lock", async () => {
  const url = await createDatabase("template0");
  const knex = openForMigration(url);
  const killed = knex.transaction(async (transaction) => {
    await migrate(transaction);
    const { rows } = await transaction.raw<{ rows: { pid: number }[] }>("SELECT pg_backend_pid() AS pid");
    const other = openForMigration(url);
    await other.raw("SELECT pg_terminate_backend(?)", [rows[0]?.pid ?? 0]);
    await other.destroy();
    await transaction.raw("SELECT 1");
  });
  await expect(killed).rejects.toThrow();
  await knex.destroy();
  expect(await migrateOnce(url)).toEqual(migrationNames);
});

test("a database that a newer version has migrated further is left as it is", async () => {
  const service = await startTestService();
  await service.sql("INSERT INTO migrations (name, batch, migration_time) VALUES ('9999-newer', 2, now())");
  expect(await migrateOnce(service.databaseUrl)).toEqual([]);
});
