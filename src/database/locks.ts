/**
 * The advisory locks of Latchkey, all in one place: their numbers must differ, also from those of earlier versions,
 * which may run beside this one.
 */
import type { Knex } from "knex";
import { statement } from "./sql.ts";
import { boolean, integer, text } from "./sqlTypes.ts";

export const advisoryLocks = {
  /** Held while migrations are applied. */
  migrations: 5_391_647,
  /** Held while the order of the signing keys changes. */
  signingKeys: 5_391_648,
  /** Held while expired rows of a table are deleted. The second number of the lock is a hash of the table's name. */
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

/** Waits for a lock. The end of the transaction releases it, and so does a crash. */
export async function lockUntilCommit(transaction: Knex.Transaction, name: keyof typeof advisoryLocks): Promise<void> {
  await lock.count(transaction, { lock: advisoryLocks[name] });
}

/** Takes the lock for the cleanup of a table, until the end of the transaction. @returns whether it was free */
export async function tryCleanupLock(transaction: Knex.Transaction, table: string): Promise<boolean> {
  return (await tryLockTable.one(transaction, { lock: advisoryLocks.cleanup, table })).locked;
}
