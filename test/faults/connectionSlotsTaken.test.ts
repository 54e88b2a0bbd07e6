/** All connection slots of Postgres are used by others. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { during, expectRecovery, recording, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";
import { query } from "../support/service.ts";

const slots = 20;
const stalenessMs = 5_000;

test("every slot used by others: a quick 503 that says so, and recovery once they have left", async () => {
  const postgres = await startBreakablePostgres({ max_connections: String(slots) });
  const { url } = postgres;
  const client = createClient(await serveOn(url, { REVOCATION_STALENESS_SECONDS: String(stalenessMs / 1_000) }).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const stop = startLoad(30, [ledger.check, ledger.signIn, ledger.register, ledger.refresh, ...watch(send)]);
  await sleep(1_000);

  const others: pg.Client[] = [];
  const takeWhatIsFree = async (): Promise<void> => {
    while (others.length < slots) {
      const other = new pg.Client(url).on("error", () => {});
      try {
        await other.connect();
      } catch (error) {
        return expect(error).toMatchObject({ code: "53300" }); // too_many_connections
      }
      others.push(other);
    }
  };
  const leave = async () => {
    for (const other of others.splice(0)) await other.end();
  };
  afterTest(leave);
  for (const deadline = performance.now() + 10_000; ; expect(performance.now()).toBeLessThan(deadline)) {
    await takeWhatIsFree();
    const cut = await query(
      postgres.administrator, // some slots are reserved for superusers
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey'",
    );
    if (cut.length === 0) break;
  }
  const takenAt = performance.now();
  await sleep(2 * stalenessMs);
  const leftAt = performance.now();
  await leave();
  await expectRecovery(outcomes, stop);
  const lastBegin = leftAt - 1_500; // later requests may have completed after it
  for (const request of ["GET /api/token", "POST /api/users", "POST /api/token", "GET /readyz"]) {
    for (const outcome of during(outcomes, request, takenAt, lastBegin)) {
      expect(outcome).toMatchObject({ status: 503, problem: "database-unavailable" });
    }
  }
  for (const outcome of during(outcomes, "GET /api/resource", takenAt + stalenessMs, lastBegin)) {
    expect(outcome).toMatchObject({ status: 503, problem: "revocations-stale" });
  }
  await ledger.expectKept(client, postgres.connection);
});
