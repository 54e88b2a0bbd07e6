/** Slow commits and an unavailable database during refreshes: no false theft is detected, and a real one is. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { type Client, createClient, registerUser } from "../support/client.ts";
import { serveOn } from "../support/process.ts";
import { password, query } from "../support/service.ts";

const clients = 30;
const graceMs = 10_000;

/** Clients that refresh, each until it gets a response, and then again after a pause. */
async function startClients(send: Client) {
  await registerUser(send, { username: "miguel", password });
  const begun: { used: string[]; next: string; refused: string[] }[] = [];
  for (let count = 0; count < clients; count += 1) {
    const { json } = await send("POST", "/api/sessions", { basic: ["miguel", password] });
    begun.push({ used: [], next: json.refresh_token, refused: [] });
  }
  let isOver = false;
  const refresh = async (client: (typeof begun)[number]) => {
    const answer = await send("POST", "/api/token", { json: { refresh_token: client.next } }).catch(() => undefined);
    if (answer?.status === 200) {
      client.used.push(client.next);
      client.next = answer.json.refresh_token;
    } else if (answer?.status === 401) client.refused.push(String(answer.problem));
    return answer?.status;
  };
  const running = begun.map(async (client) => {
    while (!isOver && client.refused.length === 0) {
      await refresh(client);
      await sleep(500);
    }
  });
  return {
    /** All sessions are valid and can be refreshed. */
    async expectSignedIn() {
      isOver = true;
      await Promise.all(running);
      const statuses = await Promise.all(begun.map(refresh));
      expect(begun.flatMap(({ refused }) => refused)).toEqual([]);
      expect(new Set(statuses)).toEqual(new Set([200]));
    },
    /** Each has a used token, which is rejected after the grace period. */
    async expectThievesFound() {
      await sleep(graceMs + 2_000);
      for (const { used, next } of begun.slice(0, 3)) {
        const copy = await send("POST", "/api/token", { json: { refresh_token: used.at(-1) } });
        expect(copy).toMatchObject({ status: 401, problem: "token-reused" });
        const { problem } = await send("POST", "/api/token", { json: { refresh_token: next } });
        expect(problem).toBe("token-revoked");
      }
    },
    rotations: () => begun.reduce((sum, { used }) => sum + used.length, 0),
  };
}

test("commits wait 20 s for a standby: nobody is signed out, and a theft is detected afterwards", async () => {
  const postgres = await startBreakablePostgres();
  const settings = { REFRESH_GRACE_SECONDS: String(graceMs / 1_000) };
  const instances = [await serveOn(postgres.url, settings).url, await serveOn(postgres.url, settings).url];
  const sends = instances.map((url) => createClient(url));
  let turn = 0;
  const refreshing = await startClients((...request) => (sends[turn++ % sends.length] as Client)(...request));
  await sleep(3_000);
  const set = (value: string) =>
    query(postgres.administrator, `ALTER SYSTEM SET synchronous_standby_names = '${value}'`);
  const reload = () => query(postgres.administrator, "SELECT pg_reload_conf()");
  await set("ghost");
  await reload();
  await sleep(20_000);
  const before = refreshing.rotations();
  await set("");
  await reload();
  await sleep(5_000);
  expect(refreshing.rotations()).toBeGreaterThan(before);
  await refreshing.expectSignedIn();
  await refreshing.expectThievesFound();
});

test.each([
  ["crashed", "crash" as const],
  ["stopped", "stop" as const],
])("a database that was %s, and away for 30 s: nobody is signed out, and a thief is found", async (_name, end) => {
  const postgres = await startBreakablePostgres();
  const program = serveOn(postgres.url, { REFRESH_GRACE_SECONDS: String(graceMs / 1_000) });
  const refreshing = await startClients(createClient(await program.url));
  await sleep(3_000);
  await postgres[end]();
  await sleep(30_000);
  await postgres.start();
  await sleep(5_000);
  await refreshing.expectSignedIn();
  await refreshing.expectThievesFound();
});
