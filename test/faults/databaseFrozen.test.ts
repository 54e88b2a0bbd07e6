/** Postgres is frozen: requests time out quickly, and no token is accepted on stale revocations. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { createClient } from "../support/client.ts";
import { createLedger } from "../support/ledger.ts";
import { during, expectRecovery, recording, startLoad, watch } from "../support/load.ts";
import { serveOn } from "../support/process.ts";

const frozenMs = 30_000;
const stalenessMs = 5_000;
const followEveryMs = 1_000;
/** The longest time of a request while nothing is broken. */
const noiseMs = 500;

test("frozen for 30 s: tokens are accepted for 5 s, everything else is a quick 503, and recovery takes 2 s", async () => {
  const postgres = await startBreakablePostgres();
  const program = serveOn(postgres.url, { REVOCATION_STALENESS_SECONDS: String(stalenessMs / 1_000) });
  const client = createClient(await program.url);
  const { send, outcomes } = recording(client);
  const ledger = await createLedger(send);
  const stop = startLoad(30, [ledger.check, ledger.signIn, ledger.register, ...watch(send)]);
  await sleep(2_000);
  const frozenAt = performance.now();
  await postgres.freeze();
  // Until here, a query could still be answered.
  const stoppedAt = performance.now();
  await sleep(frozenMs);
  const thawedAt = performance.now();
  postgres.thaw();
  await expectRecovery(outcomes, stop);
  const lastFreshAt = frozenAt + stalenessMs - followEveryMs - noiseMs;
  for (const outcome of during(outcomes, "GET /api/resource", 0, lastFreshAt)) {
    expect(outcome.status).toBe(200);
  }
  // A later answer can depend on a query after the thaw.
  const answered = outcomes.filter(({ beganMs, tookMs }) => beganMs + tookMs < thawedAt);
  for (const outcome of during(answered, "GET /api/resource", stoppedAt + stalenessMs, thawedAt)) {
    expect(outcome).toMatchObject({ status: 503, problem: "revocations-stale" });
  }
  for (const request of ["GET /api/token", "POST /api/users", "GET /readyz"]) {
    for (const outcome of during(answered, request, stoppedAt, thawedAt)) {
      expect(outcome).toMatchObject({ status: 503, problem: "database-unavailable" });
    }
  }
  await ledger.expectKept(client, postgres.connection);
});
