/**
 * Backends that are still at a query after its client gave up: a commit that waits for a synchronous standby outlasts
 * every time limit. It must not be cancelled, because a cancelled wait makes the commit visible before it is
 * replicated. So it counts as a connection of the pool until it has ended.
 */
import type pg from "pg";
import { closeConnection, connect, type DatabaseAddress, sessionOf } from "./connect.ts";

const lookEveryMs = 250;

export type AbandonedBackends = {
  /** Counts those of one pool. @param changed is called when the count may have fallen */
  ofPool(changed: () => void): { add(connection: pg.Client): void; count(): number };
  close(): void;
};

/** Several pools share one: it uses at most one connection at a time, and none while nothing is abandoned. */
export function countAbandoned(address: DatabaseAddress): AbandonedBackends {
  type Pool = { count: number; changed: () => void };
  /** By process id: the server that each runs on, and its pool. */
  const working = new Map<number, { server: string; pool: Pool }>();
  let isLooking = false;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const look = async (): Promise<void> => {
    if (isLooking || closed) return;
    isLooking = true;
    clearTimeout(timer);
    const asked = [...working.keys()];
    // Without an answer no more connections can be made either.
    const active = await activeBackends(address, asked).catch(() => undefined);
    for (const pid of asked) {
      const backend = working.get(pid);
      if (backend && !(active?.pids.has(pid) && active.server === backend.server)) end(pid, backend.pool);
    }
    isLooking = false;
    if (working.size > 0 && !closed) timer = setTimeout(look, lookEveryMs);
  };
  const end = (pid: number, pool: Pool): void => {
    working.delete(pid);
    pool.count -= 1;
    pool.changed();
  };
  return {
    ofPool(changed) {
      const pool: Pool = { count: 0, changed };
      return {
        add(connection) {
          const { pid, server } = sessionOf(connection);
          const before = working.get(pid); // process ids are reused
          if (before) end(pid, before.pool);
          working.set(pid, { server, pool });
          pool.count += 1;
          void look();
        },
        count: () => pool.count,
      };
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Asks by a new connection: where the address leads to another server by now, the old one's backends do not count. */
async function activeBackends(address: DatabaseAddress, pids: number[]) {
  const client = await connect(address, { statement: 1_000, lock: 1_000, idleInTransaction: 1_000 }, 1_000);
  try {
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE pid = ANY($1::integer[]) AND state = 'active'",
      [pids],
    );
    return { server: sessionOf(client).server, pids: new Set(rows.map(({ pid }) => pid)) };
  } finally {
    await closeConnection(client);
  }
}
