/**
 * Nothing grows for ever: rows that mean nothing any more are deleted in small batches, of a
 * table by one instance at a time, without a lock that anybody would wait for.
 */
import type { Database } from "./database.ts";
import { tryCleanupLock } from "./locks.ts";

const batchSize = 1_000;
/** In one run. What is left waits for the next. */
const mostBatches = 100;
const sweepEveryMs = 60_000;

const mostPasswordFailures = 1_000_000;

/** What may go, and why: a table, and the condition of a row. Each finds its rows by an index. */
const garbage: [string, string][] = [
  // The last token that it could concern has expired; two hours more, should the clock be set back.
  ["revocations", "expires_at < now() - interval '2 hours'"],
  // Their windows are over; an hour more, for clocks that differ.
  ["throttle", "expire < 1000 * extract(epoch FROM now() - interval '1 hour')::bigint"],
  ["password_failures", "expires_at < now()"],
  // Bounds the table when an attacker tries millions of names. Rows that expire first are deleted first.
  [
    "password_failures",
    `expires_at < (SELECT expires_at FROM password_failures ORDER BY expires_at DESC OFFSET ${mostPasswordFailures} LIMIT 1)`,
  ],
  ["familiar_networks", "last_seen_at < now() - interval '90 days'"],
  // Ended rows are kept while a token of theirs lives, and for a day in which their end can be told.
  ["sessions", "idle_expires_at < now() AND tokens_expire_at < now()"],
  ["sessions", "expires_at < now() AND tokens_expire_at < now()"],
  ["sessions", "ended_at < now() - interval '1 day' AND tokens_expire_at < now()"],
  // A successor has been signing for longer than any token lives.
  [
    "signing_keys",
    `EXISTS (SELECT FROM signing_keys AS successor
       WHERE successor.revoked_at IS NULL AND successor.activates_at > signing_keys.activates_at
         AND successor.activates_at < now() - interval '25 hours')`,
  ],
];

/**
 * Sweeps once.
 * @returns how many rows went, by table; nothing where another instance is at it
 * @throws the first failure, after the rest was swept all the same
 */
export async function sweep(database: Database): Promise<Record<string, number>> {
  const swept: Record<string, number> = {};
  const failures: unknown[] = [];
  for (const [table, condition] of garbage) {
    try {
      const deleted = await sweepTable(database, table, condition);
      if (deleted > 0) swept[table] = (swept[table] ?? 0) + deleted;
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return swept;
}

async function sweepTable(database: Database, table: string, condition: string): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < mostBatches; batch += 1) {
    const deleted = await database.write((knex) =>
      knex.transaction(async (transaction) => {
        if (!(await tryCleanupLock(transaction, table))) return 0;
        const { rowCount } = await transaction.raw<{ rowCount: number }>(
          `DELETE FROM ${table} WHERE ctid = ANY(ARRAY(
             SELECT ctid FROM ${table} WHERE ${condition} LIMIT ${batchSize} FOR UPDATE SKIP LOCKED))`,
        );
        return rowCount;
      }),
    );
    total += deleted;
    if (deleted < batchSize) break;
  }
  return total;
}

/** Sweeps every minute until `close`. */
export function sweepRegularly(
  database: Database,
  report: (swept: Record<string, number>) => void,
  warn: (error: unknown) => void,
): { close(): Promise<void> } {
  let sweeping = Promise.resolve();
  const timer = setInterval(() => {
    sweeping = sweep(database).then((swept) => {
      if (Object.keys(swept).length > 0) report(swept);
    }, warn);
  }, sweepEveryMs);
  return {
    close() {
      clearInterval(timer);
      return sweeping;
    },
  };
}
