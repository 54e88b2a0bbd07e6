/** A Postgres that crashes: what the service acknowledged was committed, and it needs no restart itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import {
  backWithinMs,
  expectBack,
  expectWithinBounds,
  type Outcome,
  recording,
  report,
  startLoad,
  watch,
} from "../support/load.ts";
import { serveOn } from "../support/process.ts";

const crashes = 20;

test("crashed twenty times amid writes: each acknowledged one is there in the end", async () => {
  const postgres = await startBreakablePostgres();
  const client = createClient(await serveOn(postgres.url).url);
  const outcomes: Outcome[] = [];
  const send = recording(client, outcomes);
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
    await sleep(500 + 50 * (crash % 10)); // at another moment each time
    await postgres.crash();
    await postgres.start();
    await expectBack(client);
  }
  const goneAt = performance.now();
  await sleep(2 * backWithinMs);
  await stop();

  report(outcomes, goneAt);
  expectWithinBounds(outcomes, goneAt);
  await ledger.expectKept(client, postgres.connection);
});
