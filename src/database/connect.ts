/**
 * Connects to Postgres, always with the same settings, and only to a server that accepts writes. Only the setup of the embedded
 * Postgres connects in another way.
 */
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { accountName } from "./embedded/accountName.ts";
import { readOnlyError, UnsuitableDatabaseError } from "./errors.ts";
import pg from "./pg.ts";
import { searchPath } from "./schema.ts";

/** The address of Postgres: a URL, or the socket directory of the embedded one. */
export type DatabaseAddress = string | { host: string; port: number; user: string; database: string };

/** Limits that Postgres enforces, in milliseconds. 0 is no limit. They also release the locks of an abandoned statement. */
export type TimeLimits = {
  statement: number;
  lock: number;
  idleInTransaction: number;
};

export const noTimeLimits: TimeLimits = { statement: 0, lock: 0, idleInTransaction: 0 };

/** The server side of a connection. */
export type ConnectionInfo = {
  pid: number;
  /** Identifies a running server: the start time of its postmaster. */
  server: string;
  /** Whether a pooler such as PgBouncer is in between. It reports another process id than the backend. */
  isPooled: boolean;
};

const connectTimeoutMs = 1_000;

/** The default user is the account of the process, as in psql. `pg` would take USER from the environment. */
pg.defaults.user = accountName();

/** The oldest maintained version that has the features which the schema uses. */
const oldestPostgres = 14;

/**
 * The settings that the code relies on. They override those of the server, the database, the role and the pooler. A statement
 * sets them, because PgBouncer rejects startup parameters. Not set:
 *
 * - `default_transaction_read_only`: an operator sets it, for example in a failover, to forbid writes. Such a server is rejected
 *   below.
 * - `role`: with it, a group can own the tables.
 * - planner, memory, JIT, tablespaces, logging: they change the speed, not the results.
 * - `session_replication_role`, `lc_messages`: only superusers may set them. The first is checked below. The code does not
 *   compare messages of the server.
 */
const sessionSettings = (limits: TimeLimits): Record<string, string> => ({
  search_path: literal(searchPath), // only migrations use the search_path of the role and the database
  client_encoding: literal("UTF8"),
  datestyle: literal("ISO, MDY"), // the format that pg parses
  intervalstyle: literal("postgres"),
  timezone: literal("UTC"), // for date_trunc
  extra_float_digits: literal("1"), // for exact floats
  bytea_output: literal("hex"),
  standard_conforming_strings: literal("on"), // Knex quotes accordingly
  array_nulls: literal("on"),
  transform_null_equals: literal("off"),
  default_transaction_isolation: literal("read committed"), // concurrent updates wait instead of failing
  default_transaction_deferrable: literal("off"),
  row_security: literal("on"),
  plan_cache_mode: literal("auto"),
  client_min_messages: literal("warning"),
  // Acknowledged writes survive a crash and, with synchronous replication, a failover.
  synchronous_commit:
    "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END",
  statement_timeout: literal(String(limits.statement)),
  lock_timeout: literal(String(limits.lock)),
  idle_in_transaction_session_timeout: literal(String(limits.idleInTransaction)),
  idle_session_timeout: literal("0"), // idle connections stay open
});

const literal = (value: string) => `'${value}'`;
const version = "current_setting('server_version_num')::integer";

function configuration(limits: TimeLimits): string {
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

type Configured = {
  pid: number;
  server: string;
  version: number;
  encoding: string;
  replicationRole: string;
  isReadOnly: boolean;
};

const infos = new WeakMap<pg.Client, ConnectionInfo>();

/** @param client returned by `connect` */
export const connectionInfo = (client: pg.Client): ConnectionInfo => infos.get(client) as ConnectionInfo;

/**
 * Connects, and configures the connection in one round trip.
 * @param queryTimeoutMs the time after which `pg` abandons a query; 0 is no limit
 * @throws {UnsuitableDatabaseError}; an error with code 25006 if the server is read-only; the errors of `pg`
 */
export async function connect(address: DatabaseAddress, limits: TimeLimits, queryTimeoutMs = 0): Promise<pg.Client> {
  const client = new pg.Client({
    ssl: false, // the URL can override it, PGSSLMODE cannot
    ...(typeof address === "string" ? { connectionString: address } : address),
    application_name: "latchkey",
    query_timeout: queryTimeoutMs,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  client.password ??= ""; // otherwise pg reads ~/.pgpass
  client.on("error", () => {}); // its queries report the error
  try {
    await client.connect();
    const query = { text: configuration(limits), query_timeout: connectTimeoutMs };
    const { rows } = await client.query<Configured>(query);
    const [configured] = rows as [Configured];
    requireSuitable(configured);
    const { pid, server } = configured;
    infos.set(client, { pid, server, isPooled: internals(client).processID !== pid });
    return client;
  } catch (error) {
    void closeConnection(client);
    throw isConfigurationRejected(error)
      ? new UnsuitableDatabaseError((error as Error).message, { cause: error })
      : error;
  }
}

/** The role may not connect, or a setting of the role cannot be applied, such as serializable on a standby. */
const isConfigurationRejected = (error: unknown): boolean =>
  ["42501", "0A000"].includes((error as { code?: string }).code ?? "");

function requireSuitable({ version, encoding, replicationRole, isReadOnly }: Configured): void {
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

/** Closes a connection within 500 ms, even if the server does not respond. Never rejects. */
export async function closeConnection(client: pg.Client): Promise<void> {
  const { stream } = internals(client).connection;
  await Promise.race([client.end(), sleep(500, undefined, { ref: false })]).catch(() => {});
  stream.destroy();
}

/** Members of a client that are missing in its types. */
type Internals = { processID: number | null; connection: { stream: Socket } };

const internals = (client: pg.Client): Internals => client as pg.Client & Internals;
