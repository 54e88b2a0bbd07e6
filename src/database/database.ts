/**
 * Runs queries with time limits, and turns outages into the problem `database-unavailable`. If the database is frozen or
 * unreachable, a request fails within 3 seconds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Knex } from "knex";
import { fairQueue } from "../lib/fairQueue.ts";
import { networksOf } from "../networks.ts";
import { Problem } from "../problems/problems.ts";
import { currentRequest, runOutsideRequest } from "../requestContext.ts";
import { type AbandonedQueries, trackAbandonedQueries } from "./abandonedQueries.ts";
import type { DatabaseAddress, TimeLimits } from "./connect.ts";
import { isBrokenConnection, isOutage, isWriteRejected, queryTimedOut } from "./errors.ts";
import { openPool, type QueryObserver } from "./pool.ts";

export type Database = {
  /**
   * Runs a query that may be repeated: it is retried if its connection is broken, for example after a restart of Postgres.
   * @throws {Problem} `database-unavailable`
   */
  read<T>(query: (knex: Knex) => PromiseLike<T>): Promise<T>;
  /**
   * Runs a query that changes data. It is not retried.
   * @throws {Problem} `database-unavailable`, after which it is unknown whether the change was made
   */
  write<T>(query: (knex: Knex) => PromiseLike<T>): Promise<T>;
  /** The numbers of connections in use and idle, and of queries that wait for one. */
  load(): { used: number; free: number; waiting: number };
  /** Whether Postgres seems unresponsive: a query has run for half a second, or the last one failed because of an outage. */
  isStuck(): boolean;
  /** Replaces all connections: they may lead to a server that was demoted. */
  renew(): void;
  /** Whether a recent write failed in a way that others will too: disk full, privilege missing, or server read-only. */
  areWritesRejected(): boolean;
  close(): Promise<void>;
};

export type DatabaseOptions = {
  observe?: QueryObserver | undefined;
  /** Shared by the pools of an address, and closed with any of them. */
  abandonedQueries?: AbandonedQueries;
  /**
   * Called when the server is read-only or a query timed out, after which no connection to it should be used. By default, the
   * connections of this pool are replaced.
   */
  onServerUnusable?: (() => void) | undefined;
  /** Called when the database becomes unavailable (with the error) and available again (without). */
  onChange?: ((error: unknown) => void) | undefined;
};

// In the worst case, these and the time to connect add up to less than 3 s: a full pool, or a slow query on a new connection.
const acquireTimeoutMs = 1_300;
const queryTimeoutMs = 1_500;
/** How long a read is retried on other connections: until all connections of the pool can be new, within these bounds. */
const retryMs = { shortest: 150, longest: 500 };
const retryDelayMs = 20;
/** How long a failed write counts for `areWritesRejected`. */
const rejectedForMs = 10_000;
/** If a query runs for longer, Postgres seems unresponsive. */
const stuckMs = 500;

/** Queries outside requests share the connections as one network does. */
const backgroundNetwork = ["background"];
/** The maximum number of waiting queries. Beyond it, queries of the network with the most are rejected. */
const maxWaiting = 1_000;

/** The same database, without the deadline and the network of the current request. For work that all requests share. */
export const outsideRequests = (database: Database): Database => ({
  ...database,
  read: (query) => runOutsideRequest(() => database.read(query)),
  write: (query) => runOutsideRequest(() => database.write(query)),
});

/**
 * Waits for a query until the request's deadline. The query itself has other time limits. Every query passes here, so it makes
 * few promises: with an AsyncLocalStorage, each costs Node 20 a microsecond.
 */
export function untilDeadline<T>(query: () => PromiseLike<T>): PromiseLike<T> {
  const leftMs = (currentRequest()?.deadline ?? Infinity) - performance.now();
  if (leftMs === Infinity) return query();
  if (leftMs <= 0) throw new Error(queryTimedOut);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(queryTimedOut)), leftMs);
    const settle =
      <Value>(act: (value: Value) => void) =>
      (value: Value): void => {
        clearTimeout(timer);
        act(value);
      };
    query().then(settle(resolve), settle(reject));
  });
}

const limits: TimeLimits = { statement: queryTimeoutMs, lock: 1_000, idleInTransaction: 5_000 };

/** Opens a pool of at most `poolMax` connections. It connects when it is used. */
export function openDatabase(
  address: DatabaseAddress,
  poolMax: number,
  { observe, abandonedQueries = trackAbandonedQueries(address), onServerUnusable, onChange }: DatabaseOptions = {},
): Database {
  const abandoned = abandonedQueries.ofPool(() => turns.admit());
  const turns = fairQueue(() => poolMax - abandoned.count(), maxWaiting);
  const lost = onServerUnusable ?? (() => pool.renew());
  const pool = openPool(address, {
    max: poolMax,
    acquireTimeoutMs,
    queryTimeoutMs,
    limits,
    observe,
    onTimeout(connection) {
      abandoned.add(connection);
      lost();
    },
    onReadOnly: lost,
  });
  /** The start of each running query, the oldest first. */
  const running = new Set<{ at: number }>();
  let failure: unknown;
  let writeRejectedAt = -Infinity;
  const recordResult = (error?: unknown): void => {
    if ((error === undefined) !== (failure === undefined)) onChange?.(error);
    failure = error;
  };
  const run = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const began = { at: performance.now() };
    running.add(began);
    try {
      const result = await untilDeadline(() => query(pool.knex));
      recordResult();
      return result;
    } catch (error) {
      recordResult(isOutage(error) ? error : undefined);
      throw error;
    } finally {
      running.delete(began);
    }
  };
  const attempt = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const request = currentRequest();
    const turn = {
      networks: request ? networksOf(request.address) : backgroundNetwork,
      account: "",
      deadline: Math.min(request?.deadline ?? Infinity, performance.now() + acquireTimeoutMs),
    };
    let hasTurn = false;
    try {
      return await turns.run(turn, () => {
        hasTurn = true;
        return run(query);
      });
    } catch (error) {
      // Without a connection in time, it counts as an outage, even if the database is only busy.
      throw !hasTurn || isOutage(error) ? new Problem("database-unavailable", { cause: error }) : error;
    }
  };
  return {
    async read(query) {
      // The time starts at the first failure, because the query may have waited for a connection before.
      for (let failures = 1, failedAt: number | undefined; ; failures += 1) {
        try {
          return await attempt(query);
        } catch (error) {
          const now = performance.now();
          failedAt ??= now;
          const tookMs = now - failedAt;
          const isOver = tookMs > retryMs.longest || (tookMs > retryMs.shortest && failures > poolMax);
          if (isOver || !(error instanceof Problem) || !isBrokenConnection(error.cause)) throw error;
          await sleep(retryDelayMs * Math.random());
        }
      }
    },
    async write(query) {
      try {
        const result = await attempt(query);
        writeRejectedAt = -Infinity;
        return result;
      } catch (error) {
        if (isWriteRejected(error instanceof Problem ? error.cause : error)) writeRejectedAt = performance.now();
        throw error;
      }
    },
    load() {
      const { used, free, waiting } = pool.load();
      return { used: used + abandoned.count(), free, waiting: turns.waiting() + waiting };
    },
    isStuck() {
      const [oldest] = running;
      return failure !== undefined || (oldest !== undefined && performance.now() - oldest.at > stuckMs);
    },
    renew: pool.renew,
    areWritesRejected: () => performance.now() - writeRejectedAt < rejectedForMs,
    async close() {
      abandonedQueries.close();
      await pool.knex.destroy();
    },
  };
}
