/** Postgres crashes: acknowledged writes were committed, and the service needs no restart. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { migrate } from "../../src/database/migrate.ts";
import { openForMigration } from "../../src/database/pool.ts";
import { usedProofStore } from "../../src/oauth/store.ts";
import { createUsedProofs } from "../../src/oauth/usedProofs.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { expectBack, expectRecovery, recording, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";

const crashes = 20;

test("crashed twenty times during writes: each acknowledged write is kept", async () => {
  const postgres = await startBreakablePostgres();
  const client = createClient(await serveOn(postgres.url).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const { register, changePassword, revoke, refresh, beginSession, check } = ledger;
  const stop = startLoad(30, [
    register,
    changePassword,
    register,
    revoke,
    refresh,
    beginSession,
    check,
    ...watch(send),
  ]);
  for (let crash = 0; crash < crashes; crash += 1) {
    await sleep(500 + 50 * (crash % 10)); // at a different moment each time
    await postgres.crash();
    await postgres.start();
    await expectBack(client);
  }
  await expectRecovery(outcomes, stop);
  await ledger.expectKept(client, postgres.connection);
});

test("a proof that was used before a crash cannot be used after it", async () => {
  // Commits that wait for nothing stay in memory.
  const postgres = await startBreakablePostgres({ wal_writer_delay: "10s" });
  const knex = openForMigration(postgres.connection);
  await migrate(knex).finally(() => knex.destroy());
  const database = openDatabase(postgres.url, 2);
  const usedProofs = createUsedProofs(usedProofStore(database));
  const use = (kind: "client-assertion" | "dpop", id = "used") =>
    usedProofs.use({ kind, owner: "lkc_1", id, expiresAt: new Date(Date.now() + 300_000) });
  // The commit of the assertion writes everything to the disk that was committed before.
  expect([await use("dpop"), await use("client-assertion")]).toEqual([true, true]);
  await postgres.crash();
  await postgres.start();
  await expect.poll(() => use("dpop", "new").catch(() => "away"), { timeout: 20_000 }).not.toBe("away");
  expect([await use("client-assertion"), await use("dpop")]).toEqual([false, false]);
  await database.close();
});
