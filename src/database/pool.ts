/** Knex on connections of our own making, with prepared statements and without connections that are past use. */
import { createHash } from "node:crypto";
import knex, { type Knex } from "knex";
import type pg from "pg";
import { backOff, withBackOff } from "../lib/backOff.ts";
import { closeConnection, connect, type DatabaseAddress, noTimeLimits, type TimeLimits } from "./connect.ts";
import { isReadOnlyServer, queryTimedOut } from "./errors.ts";

/**
 * Called for each statement as it begins, without its values. What it returns is called when the
 * statement has ended.
 */
export type QueryObserver = (statement: string) => (error: Error | null) => void;

type PoolOptions = {
  max: number;
  acquireTimeoutMs: number;
  /** After which `pg` gives up on a query; 0 is never. */
  queryTimeoutMs?: number;
  limits: TimeLimits;
  observe?: QueryObserver | undefined;
  /** A query got no answer in time: its connection is closed; its backend may still be running it. */
  onTimeout?(connection: pg.Client): void;
  /** The server turned out to be read-only. */
  onReadOnly?(): void;
};

export type Pool = {
  knex: Knex;
  /** Uses none of the present connections again: they may lead to a server that was demoted. */
  renew(): void;
  /** How many connections are in use, how many are not, and how many callers wait for one. */
  load(): { used: number; free: number; waiting: number };
};

/** As much of tarn's pool, which Knex does not type, as is looked at here. */
type Tarn = { numUsed(): number; numFree(): number; numPendingAcquires(): number };

/** Opens a pool, which connects only when it is used. */
export function openPool(address: DatabaseAddress, options: PoolOptions): Pool {
  const { max, limits, queryTimeoutMs, acquireTimeoutMs } = options;
  let usable = new WeakSet<pg.Client>();
  const renew = (): void => {
    usable = new WeakSet();
  };
  const open = async (): Promise<pg.Client> => {
    const connection = await connect(address, limits, queryTimeoutMs);
    usable.add(connection);
    const discard = () => usable.delete(connection);
    connection.on("error", discard).on("end", discard);
    watchQueries(connection, options, () => {
      discard();
      void closeConnection(connection);
    });
    return connection;
  };
  const instance = knex({
    client: "pg",
    connection: {},
    acquireConnectionTimeout: acquireTimeoutMs,
    // Otherwise an error's message has the values in it, password hashes among them.
    compileSqlOnError: false,
    pool: { min: 0, max, acquireTimeoutMillis: acquireTimeoutMs, propagateCreateError: true },
    // All of it is thrown as well; otherwise each attempt would log a line.
    log: { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} },
  });
  // Knex has no option for how a connection is made, examined and closed. These are the methods that a dialect overrides.
  Object.assign(instance.client, {
    acquireRawConnection: withBackOff(open, backOff({ firstMs: 20, mostMs: 1_000 })),
    validateConnection: (connection: pg.Client) => usable.has(connection),
    destroyRawConnection: closeConnection,
  });
  const tarn = () => (instance.client as { pool: Tarn }).pool;
  return {
    knex: instance,
    renew,
    load: () => ({ used: tarn().numUsed(), free: tarn().numFree(), waiting: tarn().numPendingAcquires() }),
  };
}

/** A single connection without limits on the time of its statements, for migrations. */
export const openForMigration = (address: DatabaseAddress): Knex =>
  openPool(address, { max: 1, acquireTimeoutMs: 3_000, limits: noTimeLimits }).knex;

type QueryCallback = (error: Error | null, result: unknown) => void;
type Query = string | { text: string; values?: unknown[]; name?: string };
type Queryable = { query(query: Query, callback: QueryCallback): void };

/** Prepares statements, observes them, and closes a connection after an error that it does not survive. */
function watchQueries(client: pg.Client, { observe, onTimeout, onReadOnly }: PoolOptions, close: () => void): void {
  const connection = client as unknown as Queryable;
  const run = connection.query.bind(connection);
  connection.query = (query, callback) => {
    const ended = observe?.(typeof query === "string" ? query : query.text);
    run(prepared(query), (error, result) => {
      // pg gives up on a query and keeps its connection, which would be handed out still waiting.
      if (error?.message === queryTimedOut) {
        close();
        onTimeout?.(client);
      } else if (error && isReadOnlyServer(error)) {
        close();
        onReadOnly?.();
      }
      ended?.(error);
      callback(error, result);
    });
  };
}

/** By text. What has values has a text that is written in this program, so that they are few. */
const statementNames = new Map<string, string>();

/** The same in every process, and never that of another statement: a pooler may mix up whose connection is whose. */
const nameOf = (text: string) => `latchkey_${createHash("sha256").update(text).digest("base64url").slice(0, 32)}`;

/** With a name, Postgres parses and plans a statement once a connection, which costs it several times as much as the rest. */
function prepared(query: Query): Query & { name?: string } {
  if (typeof query === "string" || query.name !== undefined || !query.values?.length) return query;
  let name = statementNames.get(query.text);
  if (!name) {
    name = nameOf(query.text);
    statementNames.set(query.text, name);
  }
  return { ...query, name };
}
