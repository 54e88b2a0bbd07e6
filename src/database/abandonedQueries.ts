/**
 * Tracks backends that still run a query which timed out on this side. No time limit ends a commit that waits for a synchronous
 * standby, and it must not be cancelled, because then the commit is visible before it is replicated. So such a backend counts as
 * a connection of its pool until it has finished.
 */
import type pg from "pg";
import { closeConnection, connect, connectionInfo, type DatabaseAddress } from "./connect.ts";

const pollIntervalMs = 250;

export type AbandonedQueries = {
  /** Counts the backends of one pool. @param onChange called when the count may have fallen */
  ofPool(onChange: () => void): { add(connection: pg.Client): void; count(): number };
  close(): void;
};

/** Several pools share one tracker. It uses at most one connection at a time, and none while there is nothing to track. */
export function trackAbandonedQueries(address: DatabaseAddress): AbandonedQueries {
  type Pool = { count: number; onChange: () => void };
  /** By process id: the server that the backend belongs to, and the pool. */
  const backends = new Map<number, { server: string; pool: Pool }>();
  let isPolling = false;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const poll = async (): Promise<void> => {
    if (isPolling || closed) return;
    isPolling = true;
    clearTimeout(timer);
    const pids = [...backends.keys()];
    // If this fails, the pools cannot connect either. Then none of the backends counts.
    const active = await activeBackends(address, pids).catch(() => undefined);
    for (const pid of pids) {
      const backend = backends.get(pid);
      if (backend && !(active?.pids.has(pid) && active.server === backend.server)) remove(pid, backend.pool);
    }
    isPolling = false;
    if (backends.size > 0 && !closed) timer = setTimeout(poll, pollIntervalMs);
  };
  const remove = (pid: number, pool: Pool): void => {
    backends.delete(pid);
    pool.count -= 1;
    pool.onChange();
  };
  return {
    ofPool(onChange) {
      const pool: Pool = { count: 0, onChange };
      return {
        add(connection) {
          const { pid, server } = connectionInfo(connection);
          const previous = backends.get(pid); // process ids are reused
          if (previous) remove(pid, previous.pool);
          backends.set(pid, { server, pool });
          pool.count += 1;
          void poll();
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

/** Uses a new connection. If the address now leads to another server, the backends of the old one no longer count. */
async function activeBackends(address: DatabaseAddress, pids: number[]) {
  const client = await connect(address, { statement: 1_000, lock: 1_000, idleInTransaction: 1_000 }, 1_000);
  try {
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE pid = ANY($1::integer[]) AND state = 'active'",
      [pids],
    );
    return { server: connectionInfo(client).server, pids: new Set(rows.map(({ pid }) => pid)) };
  } finally {
    await closeConnection(client);
  }
}
