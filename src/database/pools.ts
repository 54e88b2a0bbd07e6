/** All connections of a process to Postgres: its pools and listeners. */
import type { Logger } from "pino";
import { trackAbandonedQueries } from "./abandonedQueries.ts";
import type { Channel } from "./channels.ts";
import type { DatabaseAddress } from "./connect.ts";
import { type Database, openDatabase, outsideRequests } from "./database.ts";
import { type Listener, listenTo } from "./notifications.ts";
import type { QueryObserver } from "./pool.ts";

export type Pools = {
  /** For requests. */
  database: Database;
  /** For reads that every token check depends on, so that they do not wait behind requests. */
  background: Database;
  /** For test commits, which can hang and must not block `background`. */
  commitProbe: Database;
  /** Calls `wake` for each notification of a channel until `close`, as `listenTo` does. */
  listen(channel: Channel, wake: () => void): void;
  /** Replaces all connections, some of which may lead to a server that was demoted or replaced. */
  renew(): void;
  /** Closes all connections, even if some fail to close. @throws the first error */
  close(): Promise<void>;
};

export function openPools(
  address: DatabaseAddress,
  poolMax: number,
  log: Logger,
  observe?: QueryObserver | undefined,
): Pools {
  const outages = outageLog(log);
  const listeners: Listener[] = [];
  const renew = (): void => {
    for (const connections of [database, background, commitProbe, ...listeners]) connections.renew();
  };
  // If one pool finds that the server is read-only or unresponsive, all connections are replaced.
  const shared = { abandonedQueries: trackAbandonedQueries(address), onServerUnusable: renew };
  const database = openDatabase(address, poolMax, { ...shared, observe });
  const openSingle = (pool: "background" | "commitProbe") =>
    outsideRequests(openDatabase(address, 1, { ...shared, onChange: outages.record(pool) }));
  const background = openSingle("background");
  const commitProbe = openSingle("commitProbe");
  return {
    database,
    background,
    commitProbe,
    listen: (channel, wake) => void listeners.push(listenTo(address, channel, wake)),
    renew,
    async close() {
      outages.close();
      const closing = [database, background, commitProbe, ...listeners].map(({ close }) => close());
      for (const result of await Promise.allSettled(closing)) if (result.status === "rejected") throw result.reason;
    },
  };
}

/**
 * How long the database must be unavailable before that is logged. A single failure is no outage: queries of a process that was
 * busy or suspended time out too.
 */
const outageAfterMs = 1_000;

/** Logs the beginning and end of outages. */
function outageLog(log: Logger) {
  const unavailable = new Set<string>();
  let isAway = false;
  let timer: NodeJS.Timeout | undefined;
  const begin = (error: unknown): void => {
    isAway = true;
    log.warn({ reason: (error as Error).message }, "the database is away");
  };
  const end = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (isAway) log.info("the database is back");
    isAway = false;
  };
  return {
    record: (pool: string) => (error: unknown) => {
      if (error === undefined) unavailable.delete(pool);
      else unavailable.add(pool);
      if (unavailable.size === 0) end();
      else timer ??= setTimeout(begin, outageAfterMs, error).unref();
    },
    close: () => clearTimeout(timer),
  };
}
