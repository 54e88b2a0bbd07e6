/** The databases of a service, which tell each other of a lost server, and the log of outages. */
import type { Logger } from "pino";
import { Problem } from "../contract/problems.ts";
import type { DatabaseAddress } from "./connections.ts";
import { type Database, openDatabase, outsideRequests } from "./database.ts";
import type { QueryObserver } from "./pool.ts";

export type Databases = {
  /** For requests. */
  database: Database;
  /** For what every check of a token depends on: it does not queue for a connection with the requests. */
  following: Database;
  /** For commits that prove that the server can commit. They may hang, and must not keep `following` from reading. */
  proving: Database;
  /** @returns `warn` for errors that are no outage; of those there is one line as they begin, and one as they end */
  exceptOutages(warn: (error: unknown) => void): (error: unknown) => void;
  close(): Promise<void>;
};

export function openDatabases(
  address: DatabaseAddress,
  poolMax: number,
  log: Logger,
  observe: QueryObserver | undefined,
): Databases {
  const away = new Set<"following" | "proving">();
  const onChange = (source: "following" | "proving") => (error: unknown) => {
    const wasAway = away.size > 0;
    if (error === undefined) away.delete(source);
    else away.add(source);
    if (away.size > 0 && !wasAway) log.warn({ reason: (error as Error).message }, "the database is away");
    if (away.size === 0 && wasAway) log.info("the database is back");
  };
  // A server that cannot be written to must not be read from either: whatever finds out tells the others.
  const onLost = (): void => {
    for (const { renew } of [database, following, proving]) renew();
  };
  const database = openDatabase(address, poolMax, { observe, onLost });
  const openOwn = (source: "following" | "proving") =>
    outsideRequests(openDatabase(address, 1, { onLost, onChange: onChange(source) }));
  const following = openOwn("following");
  const proving = openOwn("proving");
  return {
    database,
    following,
    proving,
    exceptOutages: (warn) => (error) => {
      if (!(error instanceof Problem && error.slug === "database-unavailable")) warn(error);
    },
    async close() {
      for (const { close } of [proving, following, database]) await close();
    },
  };
}
