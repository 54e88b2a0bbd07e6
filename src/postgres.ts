/** The Postgres that the settings name, or the embedded one, ready to be used. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Config, StartError } from "./config.ts";
import type { DatabaseAddress } from "./database/connections.ts";
import { findRunningPostgres, startEmbeddedPostgres } from "./database/embedded.ts";
import { isOutage, isRefusal, UnsuitableDatabaseError } from "./database/errors.ts";
import { migrate } from "./database/migrate.ts";
import { openForMigration } from "./database/pool.ts";
import { refuseSharedSessions } from "./database/pooler.ts";

/** How long a start waits for a database that is away. */
const databasePatienceMs = 10_000;

export type Postgres = { address: DatabaseAddress; close(): Promise<unknown>; failed: Promise<string> };

/** Not ours to close, and none of our business when it ends. */
const openedByOthers = { close: () => Promise.resolve(), failed: new Promise<never>(() => {}) };

export async function openPostgres(config: Config, log: Logger): Promise<Postgres> {
  if (config.databaseUrl !== undefined) return { address: config.databaseUrl, ...openedByOthers };
  const { dataDir } = config;
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: (message) => log.info(message),
    // Four more of each process follow changes, two at times look for abandoned queries, and Postgres' own tools want some.
    parameters: { max_connections: String(Math.max(100, config.workers * (config.databasePoolMax + 6) + 20)) },
  });
  return {
    address: { ...postgres.connection, ssl: false }, // whatever PGSSLMODE says to pg
    close: postgres.stop,
    failed: postgres.exited.then(({ expected }) =>
      expected ? new Promise<string>(() => {}) : `The embedded Postgres ended; its log is under ${dataDir}.`,
    ),
  };
}

/** @returns the Postgres that the settings name, where it runs already; the embedded one perhaps for another process */
export async function findPostgres({ databaseUrl, dataDir }: Config): Promise<Postgres | undefined> {
  if (databaseUrl !== undefined) return { address: databaseUrl, ...openedByOthers };
  const running = await findRunningPostgres(dataDir);
  return running && { address: { ...running, ssl: false }, ...openedByOthers };
}

/** Opens Postgres, and brings its schema up to date. @throws {StartError | EmbeddedPostgresError} */
export async function openMigratedPostgres(config: Config, log: Logger): Promise<Postgres> {
  const postgres = await openPostgres(config, log);
  try {
    await migrateWithPatience(postgres.address, log);
    return postgres;
  } catch (error) {
    await postgres.close();
    throw error;
  }
}

/**
 * Applies the missing migrations, and waits a little for a database that is not there yet.
 * @returns their names
 * @throws {StartError}
 */
export async function migrateWithPatience(address: DatabaseAddress, log: Logger): Promise<string[]> {
  const deadline = Date.now() + databasePatienceMs;
  for (let attempt = 0; ; attempt += 1) {
    const knex = openForMigration(address);
    try {
      await refuseSharedSessions(address);
      const applied = await migrate(knex);
      if (applied.length > 0) log.info({ applied }, "migrated");
      return applied;
    } catch (error) {
      const { message } = error as Error;
      const isFinal = !isOutage(error) || isRefusal(error) || error instanceof UnsuitableDatabaseError;
      if (isFinal || Date.now() > deadline) {
        throw new StartError(`The database of DATABASE_URL cannot be used: ${message}.`, { cause: error });
      }
      if (attempt === 0) log.warn({ reason: message }, "the database does not answer yet");
      await sleep(500);
    } finally {
      await knex.destroy();
    }
  }
}
