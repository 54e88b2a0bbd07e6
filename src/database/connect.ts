/**
 * Every connection of the service to Postgres is made here, with the same settings, and only to a server that can write.
 * The preparation of the embedded Postgres has its own.
 */
import "./pgEnvironment.ts"; // before pg
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { accountName } from "./embedded/accountName.ts";
import { readOnlyError, UnsuitableDatabaseError } from "./errors.ts";
import { searchPath } from "./schema.ts";

/** Where Postgres is: a URL, or the socket folder of the embedded one. */
export type DatabaseAddress = string | { host: string; port: number; user: string; database: string };

/** In milliseconds; 0 is no limit. */
export type TimeLimits = {
  /** Of a statement, by Postgres itself, so that an abandoned one holds no lock. */
  statement: number;
  lock: number;
  idleInTransaction: number;
};

export const noTimeLimits: TimeLimits = { statement: 0, lock: 0, idleInTransaction: 0 };

/** What a connection leads to. */
export type Session = {
  pid: number;
  /** Differs between servers, and after a restart of one: the start time of its postmaster. */
  server: string;
  /** Whether a pooler such as PgBouncer is in between: the process id it reports is not the backend's. */
  isPooled: boolean;
};

const connectTimeoutMs = 1_000;

/** Like psql, and unlike `pg`, which takes USER from the environment: the account that the process runs as. */
pg.defaults.user = accountName();

/** The oldest that has what the schema uses, and that is still maintained. */
const oldestPostgres = 14;

/**
 * What the code relies on, whatever server, database, role or pooler have set. `SET` rather than startup parameters,
 * which PgBouncer refuses. Not set, on purpose:
 *
 * - `default_transaction_read_only`: it says that this server must not be written to, as in a failover. Such a server
 *   is refused, below.
 * - `role`: an operator's way to let a group own the tables.
 * - planner, memory, JIT, tablespaces, logging: they change the speed, and not the results.
 * - `session_replication_role`, `lc_messages`: only a superuser may. The first is checked below; no message of the
 *   server is ever compared.
 */
const sessionSettings = (limits: TimeLimits): Record<string, string> => ({
  search_path: literal(searchPath), // of the role and the database, only migrations read it
  client_encoding: literal("UTF8"),
  datestyle: literal("ISO, MDY"), // what pg parses
  intervalstyle: literal("postgres"),
  timezone: literal("UTC"), // date_trunc
  extra_float_digits: literal("1"), // floats are exact
  bytea_output: literal("hex"),
  standard_conforming_strings: literal("on"), // how Knex quotes
  array_nulls: literal("on"),
  transform_null_equals: literal("off"),
  default_transaction_isolation: literal("read committed"), // concurrent statements wait rather than fail
  default_transaction_deferrable: literal("off"),
  row_security: literal("on"),
  plan_cache_mode: literal("auto"),
  client_min_messages: literal("warning"),
  // What was acknowledged survives a crash and, with synchronous replication, a failover.
  synchronous_commit:
    "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END",
  statement_timeout: literal(String(limits.statement)),
  lock_timeout: literal(String(limits.lock)),
  idle_in_transaction_session_timeout: literal(String(limits.idleInTransaction)),
  idle_session_timeout: literal("0"), // idle connections wait for requests and notifications
});

const literal = (value: string) => `'${value}'`;
const version = "current_setting('server_version_num')::integer";

function prepareSession(limits: TimeLimits): string {
  const settings = Object.entries(sessionSettings(limits)).map(
    ([name, value]) => `set_config('${name}', ${value}, false)`,
  );
  return `SELECT ${settings.join(", ")},
    CASE WHEN ${version} >= 170000 THEN set_config('transaction_timeout', '0', false) END,
    pg_backend_pid() AS pid,
    pg_postmaster_start_time()::text AS server,
    ${version} AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('session_replication_role') AS "replicationRole",
    current_setting('transaction_read_only') = 'on' AS "isReadOnly"`;
}

type Prepared = {
  pid: number;
  server: string;
  version: number;
  encoding: string;
  replicationRole: string;
  isReadOnly: boolean;
};

const sessions = new WeakMap<pg.Client, Session>();

/** What a connection that `connect` returned leads to. */
export const sessionOf = (client: pg.Client): Session => sessions.get(client) as Session;

/**
 * Connects, and prepares the session in one round trip.
 * @param queryTimeoutMs after which `pg` gives up on a query; 0 is never
 * @throws {UnsuitableDatabaseError}; an error with code 25006 where the server is read-only; what `pg` throws
 */
export async function connect(address: DatabaseAddress, limits: TimeLimits, queryTimeoutMs = 0): Promise<pg.Client> {
  const client = new pg.Client({
    ssl: false, // unless the URL says otherwise: PGSSLMODE does not count
    ...(typeof address === "string" ? { connectionString: address } : address),
    application_name: "latchkey",
    query_timeout: queryTimeoutMs,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  client.password ??= ""; // or pg would read ~/.pgpass
  client.on("error", () => {}); // its queries fail, and it ends
  try {
    await client.connect();
    const query = { text: prepareSession(limits), query_timeout: connectTimeoutMs };
    const { rows } = await client.query<Prepared>(query);
    const [prepared] = rows as [Prepared];
    refuseUnsuitable(prepared);
    const { pid, server } = prepared;
    const { processID } = client as unknown as { processID: number | null };
    sessions.set(client, { pid, server, isPooled: processID !== pid });
    return client;
  } catch (error) {
    void closeConnection(client);
    throw isSetUpRefused(error) ? new UnsuitableDatabaseError((error as Error).message, { cause: error }) : error;
  }
}

/** The role may not connect, or the role's own settings cannot be applied, such as serializable on a standby. */
const isSetUpRefused = (error: unknown): boolean =>
  ["42501", "0A000"].includes((error as { code?: string }).code ?? "");

function refuseUnsuitable({ version, encoding, replicationRole, isReadOnly }: Prepared): void {
  const major = Math.floor(version / 10_000);
  if (major < oldestPostgres)
    throw new UnsuitableDatabaseError(`Postgres ${major} is too old: ${oldestPostgres} or newer is needed`);
  if (encoding !== "UTF8")
    throw new UnsuitableDatabaseError(`its encoding is ${encoding}: a database with the encoding UTF8 is needed`);
  if (replicationRole !== "origin")
    throw new UnsuitableDatabaseError(
      `session_replication_role is ${replicationRole}, which switches triggers off: reset it for this role and database`,
    );
  if (isReadOnly) throw readOnlyError();
}

/** Closes a connection, whether or not the server answers. Never rejects. */
export async function closeConnection(client: pg.Client): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  await Promise.race([client.end(), sleep(500, undefined, { ref: false })]).catch(() => {});
  stream.destroy();
}
