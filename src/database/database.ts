/**
 * The way to Postgres: bounded in time on every step, and with an outage told from a mistake.
 * A frozen or unreachable database is a `database-unavailable` within 3 seconds, never a hanging
 * request.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import knex, { type Knex } from "knex";
import pg, { type ClientConfig } from "pg";
import { Problem } from "../contract/problems.ts";
import { fairQueue } from "../lib/fairQueue.ts";
import { searchPath } from "./schema.ts";

export type Database = {
  /**
   * Runs a query that may be repeated: again where its connection turns out to be broken, as after
   * a restart of Postgres.
   * @throws {Problem} `database-unavailable`
   */
  read<T>(query: (knex: Knex) => PromiseLike<T>): Promise<T>;
  /**
   * Runs a query that changes something, once.
   * @throws {Problem} `database-unavailable`, after which it is not known whether it took effect
   */
  write<T>(query: (knex: Knex) => PromiseLike<T>): Promise<T>;
  /** How many of its connections are in use, how many are not, and how many wait for one. */
  load(): { used: number; free: number; waiting: number };
  /** Whether Postgres seems not to answer: a query has run for half a second, or the last one has failed by an outage. */
  isStuck(): boolean;
  close(): Promise<void>;
};

/** Where Postgres is: a URL, or the socket folder of the embedded one. */
export type DatabaseAddress = string | { host: string; port: number; user: string; database: string; ssl?: false };

/**
 * Is told of each statement as it begins, without its values. What it returns is called when the
 * statement has ended.
 */
export type QueryObserver = (statement: string) => (error: Error | null) => void;

// Together below 3 s, in the worst order: a full pool, or a new connection and a slow query on it.
const connectTimeoutMs = 1_000;
const acquireTimeoutMs = 1_300;
const queryTimeoutMs = 1_500;
const retryWithinMs = 150;
/** A query that takes longer is waiting for Postgres, not working. */
const stuckMs = 500;

/** What serves no request waits for a connection like one network among the others. */
const ownNetwork = ["own"];
/** Queries that wait for a connection. Beyond it, those of the largest network are refused. */
const maxWaiting = 1_000;

/** Of the request that a query is for: when it must have its answer (`performance.now()`), and where its client is. */
const requests = new AsyncLocalStorage<{ deadline: number; networks: () => readonly string[] }>();
/** Below 3 s, with what is left for the answer itself. */
const requestTimeoutMs = 2_700;

/**
 * Runs what serves a request: however many queries it makes, they end in time together, and wait for connections in
 * turns with those of other networks.
 * @param networks of the client, asked for where there is a query
 * @param serve is given a function that extends the deadline by the milliseconds for which the client was waited for
 */
export function withinOneRequest(
  networks: () => readonly string[],
  serve: (extendDeadline: (ms: number) => void) => void,
): void {
  const request = { deadline: performance.now() + requestTimeoutMs, networks };
  const extendDeadline = (ms: number): void => {
    request.deadline += ms;
  };
  requests.run(request, () => serve(extendDeadline));
}

/** The same database for what is done for all, though a request may be the occasion: no request's time is its own. */
export const outsideRequests = (database: Database): Database => ({
  ...database,
  read: (query) => requests.exit(() => database.read(query)),
  write: (query) => requests.exit(() => database.write(query)),
});

/** Waits for a query no longer than the request can; the query itself ends by its own limits. */
async function untilDeadline<T>(query: () => PromiseLike<T>): Promise<T> {
  const leftMs = (requests.getStore()?.deadline ?? Infinity) - performance.now();
  if (leftMs === Infinity) return query();
  if (leftMs <= 0) throw new Error(queryTimedOut);
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(queryTimedOut)), leftMs);
  });
  return Promise.race([query(), tooLate]).finally(() => clearTimeout(timer));
}

/** Opens a pool of at most `poolMax` connections. Connects only when it is used. */
export function openDatabase(
  address: DatabaseAddress,
  poolMax: number,
  warn: (message: string) => void,
  observe?: QueryObserver,
): Database {
  const limits = {
    query_timeout: queryTimeoutMs,
    // Postgres gives up by itself as well, so that an abandoned statement holds no lock.
    statement_timeout: queryTimeoutMs,
    lock_timeout: 1_000,
    idle_in_transaction_session_timeout: 5_000,
  };
  const pool = openKnex(address, { min: 0, max: poolMax }, warn, limits, observe);
  const turns = fairQueue(poolMax, maxWaiting);
  /** When each running query began, the oldest first. */
  const running = new Set<{ at: number }>();
  let hasFailed = false;
  const run = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const began = { at: performance.now() };
    running.add(began);
    try {
      const result = await untilDeadline(() => query(pool));
      hasFailed = false;
      return result;
    } catch (error) {
      hasFailed = isOutage(error);
      throw error;
    } finally {
      running.delete(began);
    }
  };
  const attempt = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const { deadline = Infinity, networks } = requests.getStore() ?? {};
    const turn = {
      networks: networks?.() ?? ownNetwork,
      account: "",
      deadline: Math.min(deadline, performance.now() + acquireTimeoutMs),
    };
    let hasTurn = false;
    try {
      return await turns.run(turn, () => {
        hasTurn = true;
        return run(query);
      });
    } catch (error) {
      // No connection in time is an outage, too: whoever waits cannot tell a busy database from one that is away.
      throw !hasTurn || isOutage(error) ? new Problem("database-unavailable", { cause: error }) : error;
    }
  };
  return {
    async read(query) {
      // Each failure takes one broken connection out of the pool, until all are new.
      for (const began = performance.now(); ; ) {
        try {
          return await attempt(query);
        } catch (error) {
          const isOver = performance.now() - began > retryWithinMs;
          if (isOver || !(error instanceof Problem) || !isBrokenConnection(error.cause)) throw error;
        }
      }
    },
    write: attempt,
    load() {
      const { pool: connections } = pool.client as { pool: Pool };
      return {
        used: connections.numUsed(),
        free: connections.numFree(),
        waiting: turns.waiting() + connections.numPendingAcquires(),
      };
    },
    isStuck() {
      const [oldest] = running;
      return hasFailed || (oldest !== undefined && performance.now() - oldest.at > stuckMs);
    },
    close: () => pool.destroy(),
  };
}

/** As much of tarn's pool, which Knex does not type, as is looked at here. */
type Pool = { numUsed(): number; numFree(): number; numPendingAcquires(): number };

/** A single connection without limits on the time of its statements, for migrations. */
export const openForMigration = (address: DatabaseAddress, warn: (message: string) => void): Knex =>
  openKnex(address, { min: 0, max: 1 }, warn, {});

/**
 * Calls `wake` at each notification of a channel, and at each new connection, since some may have
 * been missed before it. A lost connection is made again; until then nobody is woken.
 */
export function listenTo(address: DatabaseAddress, channel: string, wake: () => void): { close(): Promise<void> } {
  let client: pg.Client | undefined;
  let again: NodeJS.Timeout | undefined;
  let closed = false;
  const connect = (): void => {
    const listener = new pg.Client(clientConfig(address, {}));
    client = listener;
    const reconnect = (): void => {
      if (closed || client !== listener) return;
      client = undefined;
      listener.end().catch(() => {});
      again = setTimeout(connect, 1_000);
    };
    listener.on("error", reconnect).on("end", reconnect).on("notification", wake);
    listener
      .connect()
      .then(() => listener.query(`LISTEN ${channel}`))
      .then(wake, reconnect);
  };
  connect();
  return {
    async close() {
      closed = true;
      clearTimeout(again);
      await client?.end().catch(() => {});
    },
  };
}

function clientConfig(address: DatabaseAddress, limits: ClientConfig): ClientConfig {
  return {
    ...(typeof address === "string" ? { connectionString: address } : address),
    ...limits,
    application_name: "latchkey",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

function openKnex(
  address: DatabaseAddress,
  pool: Knex.PoolConfig,
  warn: (message: string) => void,
  limits: ClientConfig,
  observe: QueryObserver = () => () => {},
): Knex {
  return knex({
    client: "pg",
    connection: clientConfig(address, limits) as Knex.PgConnectionConfig,
    acquireConnectionTimeout: acquireTimeoutMs,
    // Otherwise an error's message has the values in it, password hashes among them.
    compileSqlOnError: false,
    pool: {
      ...pool,
      acquireTimeoutMillis: acquireTimeoutMs,
      propagateCreateError: true,
      afterCreate: (connection: Connection, done: (error: Error | null, connection: Connection) => void) => {
        prepareAndWatch(connection, observe);
        connection.query(sessionSettings, (error) => done(error, connection));
      },
    },
    log: { warn, error: warn, deprecate: () => {}, debug: () => {} },
  });
}

/** Set after connecting: PgBouncer refuses most settings in the startup packet. */
const sessionSettings = `SET search_path = ${searchPath}`;

type QueryCallback = (error: Error | null, result: unknown) => void;
type Query = string | { text: string; values?: unknown[] };
type Connection = { query(query: Query, callback: QueryCallback): void; end(): Promise<void> };

function prepareAndWatch(connection: Connection, observe: QueryObserver): void {
  const run = connection.query.bind(connection);
  connection.query = (query, callback) => {
    const ended = observe(typeof query === "string" ? query : query.text);
    run(prepared(query), (error, result) => {
      // pg gives up on a query and keeps its connection, which would be handed out still waiting.
      if (error?.message === queryTimedOut) connection.end().catch(() => {});
      ended(error);
      callback(error, result);
    });
  };
}
const queryTimedOut = "Query read timeout";

/** By text. What has values has a text that is written in this program, so that they are few. */
const statementNames = new Map<string, string>();

/** The same in every process, and never that of another statement: a pooler may mix up whose connection is whose. */
const nameOf = (text: string) => `latchkey_${createHash("sha256").update(text).digest("base64url").slice(0, 32)}`;

/** With a name, Postgres parses and plans a statement once a connection, which costs it several times as much as the rest. */
function prepared(query: Query): Query & { name?: string } {
  if (typeof query === "string" || !query.values?.length) return query;
  let name = statementNames.get(query.text);
  if (!name) {
    name = nameOf(query.text);
    statementNames.set(query.text, name);
  }
  return { ...query, name };
}

type DriverError = Error & { code?: string };

// Classes and codes of Postgres' appendix A: connection exceptions; role or database refused; out of
// resources (too many connections); a deadlock, or a transaction to be tried again; operator
// intervention (shutdown, statement timeout); closed for maintenance; lock not available; idle in
// transaction; read-only, as after a failover. Then the system's own, and those of pg and Knex, which
// have only a message.
const outageCodes = /^(?:08...|28...|3D000|40001|40P01|53...|57...|55000|55P03|25P03|25006|E[A-Z]+)$/;
const outageMessages =
  /Query read timeout|timeout expired|Timeout acquiring a connection|Connection terminated|Connection ended|not queryable|Unable to acquire a connection/;
// The same without what says that the server is there and has too much to do: trying again at once
// would make that worse.
const brokenCodes = /^(?:08...|57P0.|E(?:PIPE|CONNRESET))$/;
const brokenMessages = /Connection terminated|Connection ended|not queryable/;

/** Whether a failure means that the database is away, and not that we asked for something wrong. */
export const isOutage = (error: unknown) => matches(error, outageCodes, outageMessages);
const isBrokenConnection = (error: unknown) => matches(error, brokenCodes, brokenMessages);

function matches(error: unknown, codes: RegExp, messages: RegExp): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message } = error as DriverError;
  return (code !== undefined && codes.test(code)) || messages.test(message);
}

/** Whether Postgres answers, and refuses the role, its password or the database: waiting does not help. */
export const isRefusal = (error: unknown): boolean => matches(error, /^(?:28...|3D000)$/, /^$/);

/** Whether Postgres refused a row because of the named unique constraint (SQLSTATE 23505). */
export function violates(error: unknown, constraint: string): boolean {
  const { code, constraint: violated } = error as { code?: string; constraint?: string };
  return code === "23505" && violated === constraint;
}
