/** A deployment: four instances of the next version start at once while this version serves. */
import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { expectNone, expectWithinBounds, recording, report, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase, query } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

/** A pause before the change, long enough for all four to reach it. It prolongs the race, not the table lock. */
const nextMigration = `
  ["9999-nickname", {
    up: (knex) => knex.raw("SELECT pg_sleep(4); ALTER TABLE users ADD COLUMN nickname text"),
  }],`;

/** @returns the folder of an installed version with one more migration */
async function installNextVersion(): Promise<string> {
  const folder = await temporaryFolder();
  for (const part of ["dist", "package.json", "openapi.yaml"]) await cp(part, join(folder, part), { recursive: true });
  await symlink(resolve("node_modules"), join(folder, "node_modules"));
  const file = join(folder, "dist/src/database/migrate.js");
  const [before, after, ...more] = (await readFile(file, "utf8")).split(
    /(?<=const migrations = new Map\(\[[^;]*)(?=\]\);)/,
  );
  expect(more).toEqual([]);
  await writeFile(file, `${before}${nextMigration}${after}`);
  return folder;
}

/**
 * Starts four instances of the next version at once, while this one serves.
 * @param meanwhile runs at the same time
 */
async function race(meanwhile: (databaseUrl: string) => Promise<unknown>): Promise<void> {
  const folder = await installNextVersion();
  const databaseUrl = await createDatabase();
  const client = createClient(await serveOn(databaseUrl).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const { register, changePassword, revoke, refresh, check } = ledger;
  const stop = startLoad(20, [register, check, refresh, changePassword, revoke, ...watch(send)]);
  await sleep(500);
  const next = [1, 2, 3, 4].map(() => serveOn(databaseUrl, {}, folder));
  const [urls] = await Promise.all([Promise.all(next.map(({ url }) => url)), meanwhile(databaseUrl)]);
  await sleep(1_000);
  await stop();

  report(outcomes);
  expectWithinBounds(outcomes);
  expectNone(outcomes.filter(({ status }) => status === 503));
  const migrated = next.filter(({ stdout }) => stdout.some((line) => line.includes("9999-nickname")));
  expect(migrated).toHaveLength(1);
  expect(await query(databaseUrl, "SELECT FROM migrations WHERE name = '9999-nickname'")).toHaveLength(1);
  for (const url of urls) expect((await createClient(url)("GET", "/readyz")).status).toBe(200);
  await ledger.expectKept(createClient(urls[0] as string), databaseUrl);
}

test("four instances of the next version migrate once, and this version serves without a 503", async () => {
  await race(async () => {});
});

test("the same while a backup reads the altered table: only the migration waits", async () => {
  await race(async (databaseUrl) => {
    const backup = new pg.Client(databaseUrl);
    await backup.connect();
    afterTest(() => backup.end());
    await backup.query("BEGIN");
    await backup.query("SELECT FROM users"); // holds a reader's lock until its transaction ends
    await sleep(8_000);
    await backup.query("COMMIT");
  });
});
