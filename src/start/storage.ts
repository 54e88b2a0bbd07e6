/** Postgres, the connections to it, and the database clock. */
import { startDatabaseClock } from "../database/clock.ts";
import { openMigratedPostgres, type Postgres } from "../database/openPostgres.ts";
import { openPools, type Pools } from "../database/pools.ts";
import type { Clock } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import type { Observability } from "./observability.ts";

export type Storage = Pools & {
  postgres: Postgres;
  /** The time of the database, which all instances share. */
  clock: Clock;
  /** Calls the listener each time the database clock was set back. */
  onClockSetBack(listener: () => void): void;
};

/** @throws {StartError | EmbeddedPostgresError} */
export async function openStorage(context: StartContext, { tracing }: Observability): Promise<Storage> {
  const { config, log, lifecycle, worker, clockOffsetMs } = context;
  const postgres = worker?.postgres ?? (await openMigratedPostgres(config, log, lifecycle));
  const databases = openPools(postgres.address, config.databasePoolMax, log, tracing?.query);
  lifecycle.add("connections", "database", databases.close);

  const setBackListeners = [() => log.warn("the clock of the database was set back")];
  const databaseClock = await startDatabaseClock(databases.background, () => {
    for (const listener of setBackListeners) listener();
  });
  lifecycle.add("background", "clock", databaseClock.close);
  return {
    ...databases,
    postgres,
    clock: () => new Date(databaseClock.now().getTime() + clockOffsetMs()),
    onClockSetBack: (listener) => void setBackListeners.push(listener),
  };
}
