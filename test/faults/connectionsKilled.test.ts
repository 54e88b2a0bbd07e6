/** Connections are killed repeatedly, as by a proxy or an administrator. */
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { expectNone, expectRecovery, recording, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";
import { createDatabase, query } from "../support/service.ts";

const rounds = 120;

test("all connections killed every half second for a minute: no read fails, and no write is lost", async () => {
  const databaseUrl = await createDatabase();
  const client = createClient(await serveOn(databaseUrl).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const stop = startLoad(60, [ledger.check, ledger.signIn, ledger.register, ledger.refresh, ...watch(send)]);
  for (let round = 0; round < rounds; round += 1) {
    await query(
      databaseUrl,
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await sleep(500);
  }
  await expectRecovery(outcomes, stop);
  const reads = ["GET /api/resource", "GET /api/token", "GET /readyz"];
  expectNone(outcomes.filter(({ request, status }) => reads.includes(request) && status !== 200));
  await ledger.expectKept(client, databaseUrl);
});
