/** A pooler between us and Postgres: its mode is found out at the start. */
import { closeConnection, connect, type DatabaseAddress, sessionOf } from "./connect.ts";
import { UnsuitableDatabaseError } from "./errors.ts";

const limits = { statement: 1_000, lock: 1_000, idleInTransaction: 5_000 };

/**
 * Refuses a pooler that gives one connection of Postgres to several clients in turn (transaction or statement mode):
 * settings, prepared statements and LISTEN need a connection of their own. PgBouncer hands out the server that was
 * used last. So while one client is connected but idle, the next one gets the same backend; and while that one is in
 * a transaction, the first gets another backend than before.
 * @throws {UnsuitableDatabaseError}; what `connect` throws
 */
export async function refuseSharedSessions(address: DatabaseAddress): Promise<void> {
  const first = await connect(address, limits, 1_000);
  try {
    if (!sessionOf(first).isPooled) return;
    const second = await connect(address, limits, 1_000);
    try {
      const isShared =
        sessionOf(first).pid === sessionOf(second).pid ||
        !(await second.query("BEGIN").then(
          async () => (await backendOf(first)) === sessionOf(first).pid,
          () => false, // statement mode has no transactions
        ));
      if (isShared)
        throw new UnsuitableDatabaseError(
          "the pooler between Latchkey and Postgres is in transaction or statement mode: session mode is needed (PgBouncer: pool_mode = session)",
        );
    } finally {
      await closeConnection(second);
    }
  } finally {
    await closeConnection(first);
  }
}

async function backendOf(client: Awaited<ReturnType<typeof connect>>): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return rows[0]?.pid;
}
