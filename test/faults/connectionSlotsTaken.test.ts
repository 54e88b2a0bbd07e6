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

const slots = 20;
/** For superusers. */
const reserved = 3;
/** For others than superusers, besides the superuser that the test connects as. */
const unreserved = slots - reserved - 1;
const stalenessMs = 5_000;

test("every slot used by others: a quick 503 that says so, and recovery once they have left", async () => {
  const postgres = await startBreakablePostgres({
    max_connections: String(slots),
    superuser_reserved_connections: String(reserved),
  });
  const { url } = postgres;
  const client = createClient(await serveOn(url, { REVOCATION_STALENESS_SECONDS: String(stalenessMs / 1_000) }).url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const stop = startLoad(30, [ledger.check, ledger.signIn, ledger.register, ledger.refresh, ...watch(send)]);
  await sleep(1_000);

  // Connected all along: the service's attempts to connect can use the reserved slots for a moment, too.
  const administrator = new pg.Client(postgres.administrator).on("error", () => {});
  await administrator.connect();
  afterTest(() => administrator.end());
  const others: pg.Client[] = [];
  const pids: number[] = [];
  const takeWhatIsFree = async (): Promise<void> => {
    while (others.length < unreserved) {
      const other = new pg.Client(url).on("error", () => {});
      try {
        await other.connect();
      } catch (error) {
        return expect(error).toMatchObject({ code: "53300" }); // too_many_connections
      }
      others.push(other);
      pids.push((await other.query("SELECT pg_backend_pid() AS pid")).rows[0].pid);
    }
  };
  const leave = async () => {
    for (const other of others.splice(0)) await other.end();
  };
  afterTest(leave);
  for (const deadline = performance.now() + 10_000; ; expect(performance.now()).toBeLessThan(deadline)) {
    await takeWhatIsFree();
    if (others.length === unreserved) break;
    // Not by name: a connection that is being opened has a slot before it has a name.
    await administrator.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND pid <> ALL($1)`,
      [pids],
    );
  }
  const takenAt = performance.now();
  await sleep(2 * stalenessMs);
  const leftAt = performance.now();
  await leave();
  await expectRecovery(outcomes, stop);
  // A later answer can depend on a slot that was free again.
  const answered = outcomes.filter(({ beganMs, tookMs }) => beganMs + tookMs < leftAt);
  for (const request of ["GET /api/token", "POST /api/users", "POST /api/token", "GET /readyz"]) {
    for (const outcome of during(answered, request, takenAt, leftAt)) {
      expect(outcome).toMatchObject({ status: 503, problem: "database-unavailable" });
    }
  }
  for (const outcome of during(answered, "GET /api/resource", takenAt + stalenessMs, leftAt)) {
    expect(outcome).toMatchObject({ status: 503, problem: "revocations-stale" });
  }
  await ledger.expectKept(client, postgres.connection);
});
