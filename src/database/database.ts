/**
 * The way to Postgres: bounded in time on every step, and with an outage told from a mistake.
 * A frozen or unreachable database is a `database-unavailable` within 3 seconds, never a hanging
 * request.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Knex } from "knex";
import { fairQueue } from "../lib/fairQueue.ts";
import { networksOf } from "../networks.ts";
import { Problem } from "../problems/problems.ts";
import { currentRequest, runOutsideRequest } from "../requestContext.ts";
import { type AbandonedBackends, countAbandoned } from "./abandonedQueries.ts";
import type { DatabaseAddress, TimeLimits } from "./connect.ts";
import { isBrokenConnection, isOutage, isWriteRefusal, queryTimedOut } from "./errors.ts";
import { openPool, type QueryObserver } from "./pool.ts";

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
  /** Makes new connections: the present ones may lead to a server that was demoted. */
  renew(): void;
  /** The last write failed, and so will others: the disk is full, rights are missing, or the server is read-only. */
  writesAreRefused(): boolean;
  close(): Promise<void>;
};

export type DatabaseOptions = {
  observe?: QueryObserver | undefined;
  /** Shared by pools of the same address; closed with any of them. */
  abandonedBackends?: AbandonedBackends;
  /**
   * The server is read-only, or did not answer a query in time: no connection to it should be used again. Renews those of
   * this pool where it is not given.
   */
  onLost?: (() => void) | undefined;
  /** Called when the database becomes unavailable (with the error) and available again (without). */
  onChange?: ((error: unknown) => void) | undefined;
};

// Together below 3 s, with the time to connect, in the worst order: a full pool, or a new connection and a slow query on it.
const acquireTimeoutMs = 1_300;
const queryTimeoutMs = 1_500;
/** For how long broken connections are replaced by others: until the whole pool can be new, within these bounds. */
const retryMs = { shortest: 150, longest: 500 };
const retryDelayMs = 20;
/** A refused write is considered current for this long. */
const refusedForMs = 10_000;
/** A query that takes longer is waiting for Postgres, not working. */
const stuckMs = 500;

/** What serves no request waits for a connection like one network among the others. */
const ownNetwork = ["own"];
/** Queries that wait for a connection. Beyond it, those of the largest network are refused. */
const maxWaiting = 1_000;

/** The same database for what is done for all, though a request may be the occasion: no request's time is its own. */
export const outsideRequests = (database: Database): Database => ({
  ...database,
  read: (query) => runOutsideRequest(() => database.read(query)),
  write: (query) => runOutsideRequest(() => database.write(query)),
});

/** Waits for a query no longer than the request can; the query itself ends by its own limits. */
async function untilDeadline<T>(query: () => PromiseLike<T>): Promise<T> {
  const leftMs = (currentRequest()?.deadline ?? Infinity) - performance.now();
  if (leftMs === Infinity) return query();
  if (leftMs <= 0) throw new Error(queryTimedOut);
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(queryTimedOut)), leftMs);
  });
  return Promise.race([query(), tooLate]).finally(() => clearTimeout(timer));
}

const limits: TimeLimits = { statement: queryTimeoutMs, lock: 1_000, idleInTransaction: 5_000 };

/** Opens a pool of at most `poolMax` connections. Connects only when it is used. */
export function openDatabase(
  address: DatabaseAddress,
  poolMax: number,
  { observe, abandonedBackends = countAbandoned(address), onLost, onChange }: DatabaseOptions = {},
): Database {
  const abandoned = abandonedBackends.ofPool(() => turns.admit());
  const turns = fairQueue(() => poolMax - abandoned.count(), maxWaiting);
  const lost = onLost ?? (() => pool.renew());
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
  /** When each running query began, the oldest first. */
  const running = new Set<{ at: number }>();
  let failure: unknown;
  let writeRefusedAt = -Infinity;
  const ended = (error?: unknown): void => {
    if ((error === undefined) !== (failure === undefined)) onChange?.(error);
    failure = error;
  };
  const run = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const began = { at: performance.now() };
    running.add(began);
    try {
      const result = await untilDeadline(() => query(pool.knex));
      ended();
      return result;
    } catch (error) {
      ended(isOutage(error) ? error : undefined);
      throw error;
    } finally {
      running.delete(began);
    }
  };
  const attempt = async <T>(query: (knex: Knex) => PromiseLike<T>): Promise<T> => {
    const request = currentRequest();
    const turn = {
      networks: request ? networksOf(request.address) : ownNetwork,
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
      // No connection in time is an outage, too: whoever waits cannot tell a busy database from one that is away.
      throw !hasTurn || isOutage(error) ? new Problem("database-unavailable", { cause: error }) : error;
    }
  };
  return {
    async read(query) {
      // The time starts with the first failure, since the query may have waited for a connection before.
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
        writeRefusedAt = -Infinity;
        return result;
      } catch (error) {
        if (isWriteRefusal(error instanceof Problem ? error.cause : error)) writeRefusedAt = performance.now();
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
    writesAreRefused: () => performance.now() - writeRefusedAt < refusedForMs,
    async close() {
      abandonedBackends.close();
      await pool.knex.destroy();
    },
  };
}
