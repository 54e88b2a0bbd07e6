/** Detects the mode of a connection pooler between Latchkey and Postgres. */
import { closeConnection, connect, connectionInfo, type DatabaseAddress } from "./connect.ts";
import { UnsuitableDatabaseError } from "./errors.ts";

const limits = { statement: 1_000, lock: 1_000, idleInTransaction: 5_000 };

/**
 * Rejects a pooler in transaction or statement mode. It shares server connections between clients, but session settings, prepared
 * statements and LISTEN need a server connection of their own.
 *
 * PgBouncer assigns the server connection that was used last. So in these modes, a second client gets the backend of a first,
 * idle client. While the second is in a transaction, the first gets another backend than before.
 * @throws {UnsuitableDatabaseError}; the errors of `connect`
 */
export async function requireSessionPooling(address: DatabaseAddress): Promise<void> {
  const first = await connect(address, limits, 1_000);
  try {
    const { pid, isPooled } = connectionInfo(first);
    if (!isPooled) return;
    const second = await connect(address, limits, 1_000);
    try {
      const isShared =
        pid === connectionInfo(second).pid ||
        !(await second.query("BEGIN").then(
          async () => (await backendOf(first)) === pid,
          () => false, // there are no transactions in statement mode
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
