/**
 * Deletes rows that are no longer needed, in small batches. At most one instance cleans up a table at a time. A batch waits for
 * no row lock, and holds its own only briefly.
 */
import type { Knex } from "knex";
import { startPoller } from "../lib/poller.ts";
import type { Database } from "./database.ts";
import { tryCleanupLock } from "./locks.ts";
import { statement } from "./sql.ts";
import { integer } from "./sqlTypes.ts";

const intervalMs = 60_000;
const retry = { firstMs: intervalMs, maxMs: 10 * intervalMs };
export const cleanupBatchSize = 1_000;
/** Per condition and run. The next run deletes the rest. */
const maxBatches = 100;

const maxExpiredRevocations = 10_000;
const maxPasswordFailures = 1_000_000;

/** Tables, and conditions for the rows to delete. Each condition on a large table has an index. */
const expiredRows: readonly { table: string; condition: string }[] = [
  // Two hours after the last token has expired, in case the clock is set back. Earlier if there are many.
  { table: "revocations", condition: "expires_at < now() - interval '2 hours'" },
  {
    table: "revocations",
    condition: `expires_at < (SELECT expires_at FROM revocations WHERE expires_at < now()
      ORDER BY expires_at DESC OFFSET ${maxExpiredRevocations} LIMIT 1)`,
  },
  { table: "token_lifetimes", condition: "issued_until + make_interval(secs => seconds) < now() - interval '1 day'" },
  // An hour after the end of the window, because clocks differ.
  { table: "throttle", condition: "expire < 1000 * extract(epoch FROM now() - interval '1 hour')::bigint" },
  { table: "password_failures", condition: "expires_at < now()" },
  // Limits the size of the table if an attacker tries millions of names. The rows that expire first are deleted first.
  {
    table: "password_failures",
    condition: `expires_at < (SELECT expires_at FROM password_failures ORDER BY expires_at DESC OFFSET ${maxPasswordFailures} LIMIT 1)`,
  },
  { table: "familiar_networks", condition: "last_seen_at < now() - interval '90 days'" },
  // A session is kept until its access tokens have expired. An ended session is kept for a day, so that a refresh reports the
  // end.
  { table: "sessions", condition: "idle_expires_at < now() AND tokens_expire_at < now()" },
  { table: "sessions", condition: "expires_at < now() AND tokens_expire_at < now()" },
  { table: "sessions", condition: "ended_at < now() - interval '1 day' AND tokens_expire_at < now()" },
  // Until then, a second use of an authorization code ends its session.
  { table: "authorization_codes", condition: "expires_at < now() - interval '1 day'" },
  { table: "authorizations", condition: "expires_at < now() - interval '1 hour'" },
  { table: "device_codes", condition: "expires_at < now() - interval '1 hour'" },
  { table: "used_proofs", condition: "expires_at < now() - interval '1 hour'" },
  // A day after the overlap of a rotation. Until then, the audit log says that the secret was rotated, not that it is unknown.
  { table: "api_key_secrets", condition: "expires_at < now() - interval '1 day'" },
  // The next key has been signing for longer than any token's lifetime, so every token of this key has expired.
  {
    table: "signing_keys",
    condition: `EXISTS (SELECT FROM signing_keys AS successor
      WHERE successor.revoked_at IS NULL AND successor.activates_at > signing_keys.activates_at
        AND successor.activates_at < now() - interval '25 hours')`,
  },
];

/** What a domain folder deletes by a rule of its own is a cleanup as well. */
export type Cleanup = {
  table: string;
  /** Deletes up to `cleanupBatchSize` rows. @returns their number */
  deleteBatch(transaction: Knex.Transaction): Promise<number>;
};

const cleanups = expiredRows.map(({ table, condition }, index): Cleanup => {
  const deleteExpired = statement({
    name: `clean-up-${table}-${index}`,
    sql: `DELETE FROM ${table} WHERE ctid = ANY(ARRAY(
      SELECT ctid FROM ${table} WHERE ${condition} LIMIT ${cleanupBatchSize} FOR UPDATE SKIP LOCKED))`,
  });
  return { table, deleteBatch: (transaction) => deleteExpired.count(transaction) };
});

/** By id, which is the order of the times. */
const deleteOldEvents = statement({
  name: "clean-up-audit-events",
  sql: `WITH oldest AS MATERIALIZED (
      SELECT ctid AS place, occurred_at FROM audit_events ORDER BY id LIMIT ${cleanupBatchSize} FOR UPDATE SKIP LOCKED
    )
    DELETE FROM audit_events WHERE ctid = ANY(ARRAY(
      SELECT place FROM oldest WHERE occurred_at < now() - make_interval(days => :days)))`,
  parameters: { days: integer },
});

type CleanupOptions = {
  /** Days for which audit events are kept. */
  auditRetentionDays?: number;
  /** Cleanups besides those of this file. */
  others?: readonly Cleanup[];
};

/**
 * Runs one cleanup.
 * @returns the number of deleted rows by table; none for a table that another instance is cleaning up
 * @throws the first error, after the other tables were cleaned up
 */
export async function cleanUp(
  database: Database,
  { auditRetentionDays = 365, others = [] }: CleanupOptions = {},
): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {};
  const errors: unknown[] = [];
  const ofEvents: Cleanup = {
    table: "audit_events",
    deleteBatch: (transaction) => deleteOldEvents.count(transaction, { days: auditRetentionDays }),
  };
  for (const cleanup of [...cleanups, ...others, ofEvents]) {
    const { table } = cleanup;
    try {
      const count = await deleteRows(database, cleanup);
      if (count > 0) deleted[table] = (deleted[table] ?? 0) + count;
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
  return deleted;
}

async function deleteRows(database: Database, { table, deleteBatch }: Cleanup): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < maxBatches; batch += 1) {
    const deleted = await database.write((knex) =>
      knex.transaction(async (transaction) => {
        if (!(await tryCleanupLock(transaction, table))) return 0;
        return deleteBatch(transaction);
      }),
    );
    total += deleted;
    if (deleted < cleanupBatchSize) break;
  }
  return total;
}

type StartOptions = Required<CleanupOptions> & {
  /** Receives the number of deleted rows by table, if there are any. */
  onDeleted: (deleted: Record<string, number>) => void;
  onError: (error: unknown) => void;
};

/** Cleans up every minute until `close`. */
export function startCleanup(
  database: Database,
  { onDeleted, onError, ...options }: StartOptions,
): { close(): Promise<void> } {
  return startPoller({
    async task() {
      const deleted = await cleanUp(database, options);
      if (Object.keys(deleted).length > 0) onDeleted(deleted);
    },
    intervalMs,
    retry,
    onError,
  });
}
