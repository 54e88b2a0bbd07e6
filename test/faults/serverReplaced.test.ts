/** A replaced server that still runs and commits: without synchronous replication, it does not know. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { pino } from "pino";
import { expect, test, vi } from "vitest";
import { channels } from "../../src/database/channels.ts";
import { openPools } from "../../src/database/pools.ts";
import { probeCommit } from "../../src/database/writeCheck.ts";
import { revocationStore } from "../../src/revocations/store.ts";
import { afterTest } from "../support/afterTest.ts";
import { startBreakablePostgres } from "../support/breakablePostgres.ts";
import { query } from "../support/service.ts";

test("once one connection has detected it, none stays on the old server, and revocations are current", async () => {
  const old = await startBreakablePostgres();
  const replacement = await startBreakablePostgres();
  const { user, database: name } = old.connection;
  let current = old.connection;
  const proxy = createServer((socket) => {
    const server = connect(`${current.host}/.s.PGSQL.${current.port}`).on("error", () => socket.destroy());
    socket.on("error", () => {}).on("close", () => server.destroy());
    server.on("close", () => socket.destroy());
    socket.pipe(server).pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as { port: number };
  const databases = openPools(`postgres://${user}@127.0.0.1:${port}/${name}`, 1, pino({ level: "silent" }));
  afterTest(async () => {
    await databases.close();
    proxy.close();
  });
  const { database, background, commitProbe, renew } = databases;
  let wakes = 0;
  databases.listen(channels.revocations, () => {
    wakes += 1;
  });
  const store = revocationStore(background, {
    requestDatabase: database,
    testCommit: () => probeCommit(commitProbe),
    renew,
  });
  const identify = async () => {
    const { rows } = await background.read((knex) =>
      knex.raw<{ rows: [{ pid: number; server: string }] }>(
        "SELECT pg_backend_pid() AS pid, pg_postmaster_start_time()::text AS server",
      ),
    );
    return rows[0];
  };
  const connections = () =>
    query(old.administrator, "SELECT FROM pg_stat_activity WHERE application_name = 'latchkey'");
  const positionOf = ({ server }: { server: string }) => ({ server, snapshot: "3:3:" });
  const before = await identify();
  expect(await store.isCurrent(positionOf(before))).toBe(true);
  await vi.waitUntil(() => wakes === 1, 15_000);
  expect(await connections()).toHaveLength(3);

  current = replacement.connection;
  await query(old.administrator, "SELECT pg_terminate_backend($1)", [before.pid]);
  const after = await identify();
  expect(after.server).not.toBe(before.server);
  expect(await store.isCurrent(positionOf(after))).toBe(false);
  expect(await store.isCurrent(positionOf(after))).toBe(true);
  await vi.waitUntil(async () => (await connections()).length === 0, 15_000);
  await vi.waitUntil(() => wakes === 2, 15_000); // it listens on the new server
});
