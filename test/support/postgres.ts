/** Starts one Postgres for the whole run, with a migrated template from which the database of each test file is copied. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/database/embedded/postgres.ts";
import { superuser } from "../../src/database/embedded/roles.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openForMigration } from "../../src/database/pool.ts";
import { answersFolder } from "./answers.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Connects as the superuser. The services connect as `serviceRole`, which owns their databases. */
    postgres: { host: string; port: number; user: string; database: string };
  }
}

export const templateDatabase = "latchkey_template";
export const serviceRole = "latchkey";

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  // The projects of a configuration inherit this setup, and use the Postgres of the root project.
  if (!project.isRootProject()) return undefined;
  await rm(answersFolder, { recursive: true, force: true });
  await mkdir(answersFolder, { recursive: true });
  const dataDir = await mkdtemp(join(tmpdir(), "latchkey-test-"));
  // Test data need not survive a power failure, and the disk is the slowest part.
  const postgres = await startEmbeddedPostgres({
    dataDir,
    parameters: {
      fsync: "off",
      synchronous_commit: "off",
      full_page_writes: "off",
      max_connections: "300",
      // Counts the executions of each statement, for test/promises/everyStatement.test.ts. The statements of each database
      // have entries of their own, also after the database was dropped.
      shared_preload_libraries: "pg_stat_statements",
      "pg_stat_statements.max": "50000",
      "pg_stat_statements.track_utility": "off",
    },
  });
  const administrator = { ...postgres.connection, user: superuser };
  const admin = new pg.Client(administrator);
  await admin.connect();
  await admin.query("CREATE EXTENSION pg_stat_statements");
  await admin.query(`CREATE DATABASE ${templateDatabase} OWNER ${serviceRole}`);
  const knex = openForMigration({ ...postgres.connection, database: templateDatabase });
  await migrate(knex);
  await knex.destroy();
  // The statements of this migration were not executed by a test.
  await admin.query("SELECT pg_stat_statements_reset()");
  await admin.end();
  project.provide("postgres", administrator);
  return async () => {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
