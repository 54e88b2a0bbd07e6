/** The connections of a service to Postgres: several pools and listeners, and the log of outages. */
import type { Logger } from "pino";
import { countAbandoned } from "./abandoned.ts";
import type { Channel } from "./channels.ts";
import type { DatabaseAddress } from "./connections.ts";
import { type Database, openDatabase, outsideRequests } from "./database.ts";
import { type Listener, listenTo } from "./listen.ts";
import type { QueryObserver } from "./pool.ts";

export type Databases = {
  /** For requests. */
  database: Database;
  /** For what every check of a token depends on: it does not queue for a connection with the requests. */
  following: Database;
  /** For commits that prove that the server can commit. They may hang, and must not keep `following` from reading. */
  proving: Database;
  /** Calls `wake` at each notification of a channel until `close`, as `listenTo` does. */
  listen(channel: Channel, wake: () => void): void;
  /** Makes all connections anew: some may lead to a server that was demoted or replaced. */
  renew(): void;
  /** Closes all of them, also where one fails. @throws the first failure */
  close(): Promise<void>;
};

export function openDatabases(
  address: DatabaseAddress,
  poolMax: number,
  log: Logger,
  observe?: QueryObserver | undefined,
): Databases {
  const away = new Set<"following" | "proving">();
  const onChange = (source: "following" | "proving") => (error: unknown) => {
    const wasAway = away.size > 0;
    if (error === undefined) away.delete(source);
    else away.add(source);
    if (away.size > 0 && !wasAway) log.warn({ reason: (error as Error).message }, "the database is away");
    if (away.size === 0 && wasAway) log.info("the database is back");
  };
  const listeners: Listener[] = [];
  const renew = (): void => {
    for (const connections of [database, following, proving, ...listeners]) connections.renew();
  };
  // One pool that finds a read-only or unresponsive server closes the connections of all.
  const shared = { abandonedBackends: countAbandoned(address), onLost: renew };
  const database = openDatabase(address, poolMax, { ...shared, observe });
  const openOwn = (source: "following" | "proving") =>
    outsideRequests(openDatabase(address, 1, { ...shared, onChange: onChange(source) }));
  const following = openOwn("following");
  const proving = openOwn("proving");
  return {
    database,
    following,
    proving,
    listen: (channel, wake) => void listeners.push(listenTo(address, channel, wake)),
    renew,
    async close() {
      const closing = [database, following, proving, ...listeners].map(({ close }) => close());
      for (const result of await Promise.allSettled(closing)) if (result.status === "rejected") throw result.reason;
    },
  };
}
