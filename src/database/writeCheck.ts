/** Checks whether the database accepts writes, without writing to a table. */
import { Problem } from "../problems/problems.ts";
import type { Database } from "./database.ts";
import { isWriteRejected, readOnlyError } from "./errors.ts";
import { statement } from "./sql.ts";
import { arrayOf, boolean, text } from "./sqlTypes.ts";

/**
 * Makes a test commit: an empty message in the write-ahead log. Like every commit, it waits for a synchronous standby, so it
 * fails on a primary that was cut off or demoted.
 * @returns the start time of the server that committed, as in `ConnectionInfo`
 * @throws {Problem} `database-unavailable`
 */
export async function probeCommit(database: Database): Promise<string> {
  // A read, because it may be repeated.
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
  "token_lifetimes",
];

const calledFunctions = [
  "find_account(text,uuid)",
  "find_sign_in_account(text,uuid)",
  "end_oldest_sessions(uuid,integer,integer)",
];

/** Makes Postgres write a temporary file of about 300 kB, which fails on a full disk, and delete it again. */
const writeTemporaryFile =
  "SELECT set_config('work_mem', '64kB', true); SELECT count(*) FROM generate_series(1, 20000)";

const findMissingPrivileges = statement({
  name: "find-missing-privileges",
  sql: `SELECT name FROM unnest('{${writtenTables.join(",")}}'::text[]) AS name
    WHERE NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
      AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
    UNION ALL SELECT 'epoch_floor' WHERE NOT has_table_privilege('epoch_floor', 'SELECT') -- registrations read it
    UNION ALL SELECT name FROM unnest(:functions) AS name WHERE NOT has_function_privilege(name, 'EXECUTE')`,
  parameters: { functions: arrayOf(text) },
  columns: { name: text },
});

const cachedForMs = { success: 1_000, failure: 250 };

/**
 * Creates a check that throws `database-unavailable` if a write would fail: the disk is full, privileges are missing, the server
 * is read-only, commits hang, or a recent write of a request failed for one of these reasons.
 *
 * It can be called often, because concurrent calls share one check, and a success is kept for a second and a failure for 250 ms.
 * @param database outside requests, because the check is shared by all clients
 */
export function createWriteCheck(database: Database): () => Promise<void> {
  let succeededAt = -Infinity;
  let failed: { error: unknown; at: number } | undefined;
  let running: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    await database.read((knex) => knex.raw(writeTemporaryFile));
    const missing = await database.read((knex) => findMissingPrivileges.rows(knex, { functions: calledFunctions }));
    if (missing.length > 0) throw missingPrivileges(missing.map(({ name }) => name));
    await probeCommit(database);
    succeededAt = performance.now();
    failed = undefined;
  };
  return async () => {
    if (database.areWritesRejected()) throw new Problem("database-unavailable");
    if (performance.now() - succeededAt < cachedForMs.success) return;
    if (failed && performance.now() - failed.at < cachedForMs.failure) throw failed.error;
    running ??= check()
      .catch((error: unknown) => {
        const reported = isWriteRejected(error) ? new Problem("database-unavailable", { cause: error }) : error;
        failed = { error: reported, at: performance.now() };
        throw reported;
      })
      .finally(() => {
        running = undefined;
      });
    await running;
  };
}

const missingPrivileges = (names: string[]): Error =>
  Object.assign(new Error(`the role lacks rights on ${names.join(", ")}`), { code: "42501" });
