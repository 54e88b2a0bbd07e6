/** Whether the database can be written to, asked without writing to a table. */
import { Problem } from "../problems/problems.ts";
import type { Database } from "./database.ts";
import { isWriteRefusal, readOnlyError } from "./errors.ts";
import { statement } from "./sql.ts";
import { boolean, text } from "./sqlTypes.ts";

/**
 * Commits a message in the write-ahead log, which no table holds and nobody reads. Like any commit it waits for a
 * synchronous standby, so that a primary which was cut off, or demoted, cannot do it.
 * @returns which server did it, like `Session.server`
 * @throws {Problem} `database-unavailable`
 */
export async function commitSomething(database: Database): Promise<string> {
  // A commit that may be repeated: nobody reads the message.
  return database.read(async (knex) => {
    const { server, isReadOnly } = await emitMessage.one(knex);
    if (isReadOnly) throw readOnlyError();
    return server;
  });
}

const emitMessage = statement({
  name: "emit-message",
  sql: `SELECT pg_postmaster_start_time()::text AS server, current_setting('transaction_read_only') = 'on' AS "isReadOnly" FROM pg_logical_emit_message(true, 'latchkey', '')`,
  columns: { server: text, isReadOnly: boolean },
});

const writtenTables = [
  "users",
  "signing_keys",
  "revocations",
  "sessions",
  "throttle",
  "password_failures",
  "familiar_networks",
];

/** Writes some 300 kB to a temporary file of Postgres, as a table that grows would, and frees them again. */
const fillDisk = "SELECT set_config('work_mem', '64kB', true); SELECT count(*) FROM generate_series(1, 20000)";

const findMissingRights = statement({
  name: "find-missing-rights",
  sql: `SELECT name FROM unnest('{${writtenTables.join(",")}}'::text[]) AS name
    WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
      AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
    UNION ALL SELECT 'epoch_floor' WHERE NOT has_table_privilege('epoch_floor', 'SELECT')`, // registrations read it
  columns: { name: text },
});

const cachedForMs = { success: 1_000, failure: 250 };

/**
 * @param database outside requests: the check is shared, and must not wait in the turn of one client's network
 * @returns a check that costs little when it is called often: at most one runs at a time, a success holds for a second, and
 * a failure for a quarter of one.
 * It throws `database-unavailable` where a write would fail: the disk is full, rights are missing, the server is
 * read-only, commits hang, or the last write of a request was refused for one of these reasons.
 */
export function writableCheck(database: Database): () => Promise<void> {
  let succeededAt = -Infinity;
  let failed: { error: unknown; at: number } | undefined;
  let running: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    await database.read((knex) => knex.raw(fillDisk));
    const missing = await database.read((knex) => findMissingRights.rows(knex));
    if (missing.length > 0) throw missingRights(missing.map(({ name }) => name));
    await commitSomething(database);
    succeededAt = performance.now();
    failed = undefined;
  };
  return async () => {
    if (database.writesAreRefused()) throw new Problem("database-unavailable");
    if (performance.now() - succeededAt < cachedForMs.success) return;
    if (failed && performance.now() - failed.at < cachedForMs.failure) throw failed.error;
    running ??= check()
      .catch((error: unknown) => {
        const reported = isWriteRefusal(error) ? new Problem("database-unavailable", { cause: error }) : error;
        failed = { error: reported, at: performance.now() };
        throw reported;
      })
      .finally(() => {
        running = undefined;
      });
    await running;
  };
}

const missingRights = (tables: string[]): Error =>
  Object.assign(new Error(`the role lacks rights on ${tables.join(", ")}`), { code: "42501" });
