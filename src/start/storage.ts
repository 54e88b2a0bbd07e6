/** Postgres, the connections to it, and the database clock. */
import { startDatabaseClock } from "../database/clock.ts";
import { openMigratedPostgres, type Postgres } from "../database/openPostgres.ts";
import { openPools, type Pools } from "../database/pools.ts";
import { createServerCheck, type ServerCheck } from "../database/serverCheck.ts";
import type { Clock } from "../tokens/accessTokens.ts";
import type { StartContext } from "./context.ts";
import type { Observability } from "./observability.ts";

export type Storage = Pools & {
  postgres: Postgres;
  /** The time of the database, which all instances share. */
  clock: Clock;
  confirmServer: ServerCheck;
  /** Calls the listener each time the database clock was set forward, or back (negative). */
  onClockStep(listener: (stepMs: number) => void): void;
};

/** @throws {StartError | EmbeddedPostgresError} */
export async function openStorage(context: StartContext, { tracing }: Observability): Promise<Storage> {
  const { config, log, lifecycle, worker, clockOffsetMs } = context;
  const postgres = worker?.postgres ?? (await openMigratedPostgres(config, log, lifecycle));
  const databases = openPools(postgres.address, config.databasePoolMax, log, tracing?.query);
  lifecycle.add("connections", "database", databases.close);

  const stepListeners: ((stepMs: number) => void)[] = [];
  const databaseClock = await startDatabaseClock(databases.background, (stepMs) => {
    const seconds = Math.abs(Math.round(stepMs / 1000));
    if (stepMs < 0) log.warn({ seconds }, "the clock of the database was set back");
    else log.warn({ seconds }, "the clock of the database was set forward, or this process was suspended");
    for (const listener of stepListeners) listener(stepMs);
  });
  lifecycle.add("background", "clock", databaseClock.close);
  return {
    ...databases,
    postgres,
    confirmServer: createServerCheck(databases),
    clock: () => new Date(databaseClock.now().getTime() + clockOffsetMs()),
    onClockStep: (listener) => void stepListeners.push(listener),
  };
}
