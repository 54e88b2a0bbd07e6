/** A Knex pool with connections of `connect`. Broken connections leave the pool. */
import knex, { type Knex } from "knex";
import type pg from "pg";
import { backOff, withBackOff } from "../lib/backOff.ts";
import { closeConnection, connect, type DatabaseAddress, noTimeLimits, type TimeLimits } from "./connect.ts";
import { isReadOnlyServer, queryTimedOut } from "./errors.ts";

/** Called for each statement when it starts, without its values. The returned function is called when it ends. */
export type QueryObserver = (statement: string) => (error: Error | null) => void;

type PoolOptions = {
  max: number;
  acquireTimeoutMs: number;
  /** The time after which `pg` abandons a query. 0 is no limit. */
  queryTimeoutMs?: number;
  limits: TimeLimits;
  observe?: QueryObserver | undefined;
  /** Called when a query timed out. Its connection is closed, but the backend may still run the query. */
  onTimeout?(connection: pg.Client): void;
  /** Called when a query failed because the server is read-only. */
  onReadOnly?(): void;
};

export type Pool = {
  knex: Knex;
  /** Replaces all connections, which may lead to a demoted server. */
  renew(): void;
  /** The numbers of connections in use and idle, and of callers that wait for one. */
  load(): { used: number; free: number; waiting: number };
};

/** The part of the pool (tarn) that is used here. Knex has no type for it. */
type Tarn = { numUsed(): number; numFree(): number; numPendingAcquires(): number };

/** Opens a pool, which connects on first use. */
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
    // Otherwise error messages contain the values, such as password hashes.
    compileSqlOnError: false,
    pool: { min: 0, max, acquireTimeoutMillis: acquireTimeoutMs, propagateCreateError: true },
    // Errors are thrown. Knex would also log each of them.
    log: { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} },
  });
  // Knex has no options for these. Its dialects override the same methods.
  Object.assign(instance.client, {
    acquireRawConnection: withBackOff(open, backOff({ firstMs: 20, maxMs: 750 })),
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

/** Opens a single connection without time limits, for migrations. */
export const openForMigration = (address: DatabaseAddress): Knex =>
  openPool(address, { max: 1, acquireTimeoutMs: 3_000, limits: noTimeLimits }).knex;

type QueryCallback = (error: Error | null, result: unknown) => void;
type Query = string | { text: string };
type Queryable = { query(query: Query, callback: QueryCallback): void };

/** Observes queries, and closes the connection after an error that makes it unusable. */
function watchQueries(client: pg.Client, { observe, onTimeout, onReadOnly }: PoolOptions, close: () => void): void {
  const connection: Queryable = client;
  const run = connection.query.bind(client);
  const query: Queryable["query"] = (query, callback) => {
    const ended = observe?.(typeof query === "string" ? query : query.text);
    run(query, (error, result) => {
      // After a timeout, pg keeps the connection, although it still waits for the result of the query.
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
  Object.assign(client, { query });
}
