/** Postgres crashes: acknowledged writes were committed, and the service needs no restart. */
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
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
