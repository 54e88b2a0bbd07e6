/**
 * Nothing grows for ever: rows that mean nothing any more are deleted in small batches, of a
 * table by one instance at a time, without a lock that anybody would wait for.
 */
import type { Database } from "./database.ts";

const batchSize = 1_000;
/** In one run. What is left waits for the next. */
const mostBatches = 100;
const sweepEveryMs = 60_000;
/** Names the sweeps among a database's advisory locks, with a hash of the table. */
const advisoryLock = 5_391_649;

/** What may go, and why. Each is a query for the `ctid` of rows. */
const garbage: Record<string, string> = {
  // The last token that it could concern has expired.
  revocations: "SELECT ctid FROM revocations WHERE expires_at < now()",
  // Kept for as long as its end has to be told from a token that never was, and its tokens live.
  sessions: `SELECT ctid FROM sessions
    WHERE tokens_expire_at < now() AND (expires_at < now() OR idle_expires_at < now() OR ended_at < now() - interval '1 day')`,
  // A successor has been signing for longer than any token lives.
  signing_keys: `SELECT old.ctid FROM signing_keys AS old
    WHERE EXISTS (SELECT FROM signing_keys AS successor
      WHERE successor.revoked_at IS NULL AND successor.activates_at > old.activates_at
        AND successor.activates_at < now() - interval '25 hours')`,
};

/** Sweeps once. @returns how many rows went, by table; nothing where another instance is at it. */
export async function sweep(database: Database): Promise<Record<string, number>> {
  const swept: Record<string, number> = {};
  for (const [table, rows] of Object.entries(garbage)) {
    for (let batch = 0; batch < mostBatches; batch += 1) {
      const deleted = await database.write((knex) =>
        knex.transaction(async (transaction) => {
          const { rows: lock } = await transaction.raw<{ rows: [{ mine: boolean }] }>(
            "SELECT pg_try_advisory_xact_lock(?, hashtext(?)) AS mine",
            [advisoryLock, table],
          );
          if (!lock[0].mine) return 0;
          const { rowCount } = await transaction.raw<{ rowCount: number }>(
            `DELETE FROM ${table} WHERE ctid = ANY(ARRAY(${rows} LIMIT ${batchSize} FOR UPDATE SKIP LOCKED))`,
          );
          return rowCount;
        }),
      );
      if (deleted > 0) swept[table] = (swept[table] ?? 0) + deleted;
      if (deleted < batchSize) break;
    }
  }
  return swept;
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
