/**
 * All advisory locks of Latchkey. Their numbers must differ from each other, and from those of earlier versions, which may run at
 * the same time.
 */
import type { Knex } from "knex";
import { statement } from "./sql.ts";
import { boolean, integer, text } from "./sqlTypes.ts";

export const advisoryLocks = {
  /** While migrations are applied. */
  migrations: 5_391_647,
  /** While the order of the signing keys changes. */
  signingKeys: 5_391_648,
  /** While expired rows of a table are deleted. The second key of the lock is a hash of the table name. */
  cleanup: 5_391_649,
} as const;

const lock = statement({
  name: "lock",
  sql: "SELECT FROM pg_advisory_xact_lock(:lock)",
  parameters: { lock: integer },
});

const tryLockTable = statement({
  name: "try-lock-table",
  sql: "SELECT pg_try_advisory_xact_lock(:lock, hashtext(:table)) AS locked",
  parameters: { lock: integer, table: text },
  columns: { locked: boolean },
});

/** Waits for a lock. The end of the transaction, or a crash, releases it. */
export async function lockUntilCommit(transaction: Knex.Transaction, name: keyof typeof advisoryLocks): Promise<void> {
  await lock.count(transaction, { lock: advisoryLocks[name] });
}

/** Takes the cleanup lock of a table until the end of the transaction. @returns whether it was free */
export async function tryCleanupLock(transaction: Knex.Transaction, table: string): Promise<boolean> {
  return (await tryLockTable.one(transaction, { lock: advisoryLocks.cleanup, table })).locked;
}
