/**
 * Backends that are still at a query after its client gave up: a commit that waits for a synchronous standby outlasts
 * every time limit. It must not be cancelled, because a cancelled wait makes the commit visible before it is
 * replicated. So it counts as a connection of the pool until it has ended.
 */
import type pg from "pg";
import { closeConnection, connect, type DatabaseAddress, sessionOf } from "./connections.ts";

const lookEveryMs = 250;

export type AbandonedBackends = {
  add(connection: pg.Client): void;
  count(): number;
  close(): void;
};

/** @param changed is called when the count may have fallen */
export function countAbandoned(address: DatabaseAddress, changed: () => void): AbandonedBackends {
  /** The server that each runs on, by process id. */
  const working = new Map<number, string>();
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
      if (!active?.pids.has(pid) || active.server !== working.get(pid)) working.delete(pid);
    }
    isLooking = false;
    changed();
    if (working.size > 0 && !closed) timer = setTimeout(look, lookEveryMs);
  };
  return {
    add(connection) {
      const { pid, server } = sessionOf(connection);
      working.set(pid, server);
      void look();
    },
    count: () => working.size,
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
