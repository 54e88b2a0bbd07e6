/** A primary cannot commit, because its synchronous standby is gone. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import type { Received } from "../support/client.ts";
import { password, query, startTestService } from "../support/service.ts";

const stalenessSeconds = 4;
const poolMax = 5;
/** Four background connections, and one that finds abandoned queries. */
const ownConnections = 5;

/** Repeats a request until it succeeds, as each must that is sent after two seconds. */
async function expectSoon(send: () => Promise<Received>, expected: number): Promise<void> {
  for (const began = performance.now(); ; await sleep(50)) {
    const sentMs = performance.now();
    const { status } = await send();
    if (status === expected) return;
    expect(sentMs - began, `a ${status}`).toBeLessThan(2_000);
  }
}

test("readiness fails, revocations become stale, no password or session is called wrong, and hanging commits count", async () => {
  const postgres = await startBreakablePostgres();
  const asAdministrator = (text: string) => query(postgres.administrator, text);
  const settings = { REVOCATION_STALENESS_SECONDS: String(stalenessSeconds), DATABASE_POOL_MAX: String(poolMax) };
  const service = await startTestService(settings, postgres.url);
  const basic: [string, string] = ["miguel", password];
  expect((await service.send("POST", "/api/users", { json: { username: "miguel", password } })).status).toBe(201);
  const bearer = await service.token("miguel");
  const signIn = () => service.send("POST", "/api/sessions", { basic });
  const ready = () => service.send("GET", "/readyz");
  const checkToken = () => service.send("GET", "/api/resource", { bearer });
  const setStandby = async (name: string) => {
    await asAdministrator(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
    await asAdministrator("SELECT pg_reload_conf()");
  };

  const { id, refresh_token } = (await signIn()).json;
  await asAdministrator(`DELETE FROM latchkey.sessions WHERE id = '${id}'`); // as on a primary that was replaced before the sign-in
  const refresh = () => service.send("POST", "/api/token", { json: { refresh_token } });

  await setStandby("nobody");
  // The setting takes effect a moment later. The service makes a test commit each second.
  await vi.waitUntil(
    async () => (await asAdministrator("SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).length > 0,
    { timeout: 10_000, interval: 20 },
  );
  let most = 0;
  let before = 0;
  let isOver = false;
  const counting = (async () => {
    for (; !isOver; await sleep(50)) {
      const rows = await asAdministrator(
        "SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
      );
      // Twice in a row: one that ends may be counted with its successor.
      most = Math.max(most, Math.min(before, rows.length));
      before = rows.length;
    }
  })();
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(Array.from({ length: 2 * poolMax }, signIn));
    for (const { status } of answers) expect(status).toBe(503);
  }
  // Such a primary may have been replaced: it may not know the newest sessions, passwords and users.
  expect(await refresh()).toMatchObject({ status: 503, problem: "database-unavailable" });
  for (const unknown of [
    ["miguel", "a wrong password"],
    ["susan", password],
  ] as [string, string][]) {
    const answer = await service.send("GET", "/api/token", { basic: unknown });
    expect(answer).toMatchObject({ status: 503, problem: "database-unavailable" });
  }
  expect(await ready()).toMatchObject({ status: 503, problem: "database-unavailable" });
  await vi.waitUntil(async () => (await checkToken()).problem === "revocations-stale", (stalenessSeconds + 2) * 1000);
  isOver = true;
  await counting;
  expect(most).toBeLessThanOrEqual(poolMax + ownConnections);

  await setStandby("");
  const areCommitsFree = async () => {
    const [row] = await asAdministrator(
      `SELECT current_setting('synchronous_standby_names') AS standbys,
         (SELECT count(*)::integer FROM pg_stat_activity WHERE wait_event = 'SyncRep') AS waiting`,
    );
    return row?.["standbys"] === "" && row["waiting"] === 0;
  };
  await vi.waitUntil(areCommitsFree, { timeout: 10_000, interval: 20 });
  await expectSoon(signIn, 201);
  await expectSoon(ready, 200);
  await expectSoon(checkToken, 200);
  expect(await refresh()).toMatchObject({ status: 401, problem: "invalid-token" });
});
