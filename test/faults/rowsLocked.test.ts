/** Another transaction locks rows that requests need, until the whole pool waits for it. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { expectNone, expectRecovery, recording, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase } from "../support/service.ts";

const heldMs = 8_000;

test.each([
  ["the table of users", ["LOCK TABLE users IN ACCESS EXCLUSIVE MODE"]],
  ["the table of sessions", ["LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE"]],
  ["every row of users and sessions", ["SELECT FROM users FOR UPDATE", "SELECT FROM sessions FOR UPDATE"]],
])("%s locked for 8 s: requests that need it get a quick 503, tokens work all along", async (_name, locks) => {
  const databaseUrl = await createDatabase();
  const client = createClient(await serveOn(databaseUrl).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send, 40);
  const { register, changePassword, refresh, signIn, check } = ledger;
  // Refreshes fill the pool. One action in ten hashes, because more would keep a slow machine busy after the locks as well.
  const stop = startLoad(
    80,
    [register, signIn, changePassword].flatMap((hash) => [
      ...[refresh, check, refresh, hash, refresh, check, refresh, check],
      ...watch(send),
    ]),
  );
  await sleep(2_000);

  const other = new pg.Client(databaseUrl);
  await other.connect();
  afterTest(() => other.end());
  await other.query("BEGIN");
  for (const lock of locks) await other.query(lock);
  await sleep(heldMs);
  await other.query("ROLLBACK");
  await expectRecovery(outcomes, stop);
  expectNone(outcomes.filter(({ request, status }) => request === "GET /api/resource" && status !== 200));
  await ledger.expectKept(client, databaseUrl);
});
