/** The Postgres that the settings name, or the embedded one, ready to be used. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Config, StartError } from "./config.ts";
import { type DatabaseAddress, isOutage, isRefusal, openForMigration } from "./database/database.ts";
import { findRunningPostgres, startEmbeddedPostgres } from "./database/embedded.ts";
import { migrate } from "./database/migrate.ts";
import { type Start, uncancelled } from "./stopping.ts";

/** How long a start waits for a database that is away. */
const databasePatienceMs = 10_000;
/** Needed because of what the schema uses, and the oldest that its makers still mend. */
const oldestPostgres = 14;

export type Postgres = { address: DatabaseAddress; close(): Promise<unknown>; failed: Promise<string> };

/** Not ours to close, and none of our business when it ends. */
const openedByOthers = { close: () => Promise.resolve(), failed: new Promise<never>(() => {}) };

/** Opens Postgres. The embedded one is stopped by `start`, also while it is starting. */
export async function openPostgres(config: Config, log: Logger, start: Start = uncancelled()): Promise<Postgres> {
  if (config.databaseUrl !== undefined) return { address: config.databaseUrl, ...openedByOthers };
  const { dataDir } = config;
  const starting = startEmbeddedPostgres({
    dataDir,
    cancelled: start.cancelled,
    log: (message) => log.info(message),
    // Three more of each process follow changes, and Postgres' own tools want some.
    parameters: { max_connections: String(Math.max(100, config.workers * (config.databasePoolMax + 3) + 20)) },
  });
  const stop = () =>
    starting.then(
      (postgres) => postgres.stop(),
      () => {}, // it has stopped itself
    );
  start.closers.add("postgres", "embedded Postgres", stop);
  const postgres = await starting;
  return {
    address: { ...postgres.connection, ssl: false }, // whatever PGSSLMODE says to pg
    close: stop,
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
export async function openMigratedPostgres(config: Config, log: Logger, start: Start): Promise<Postgres> {
  const postgres = await openPostgres(config, log, start);
  start.cancelled.throwIfAborted();
  await migrateWithPatience(postgres.address, log);
  start.cancelled.throwIfAborted();
  return postgres;
}

/**
 * Applies the missing migrations, and waits a little for a database that is not there yet.
 * @returns their names
 * @throws {StartError}
 */
export async function migrateWithPatience(address: DatabaseAddress, log: Logger): Promise<string[]> {
  const deadline = Date.now() + databasePatienceMs;
  for (let attempt = 0; ; attempt += 1) {
    const knex = openForMigration(address, () => {}); // what it would warn of is thrown as well
    try {
      const { rows } = (await knex.raw("SHOW server_version_num")) as { rows: [{ server_version_num: string }] };
      const major = Math.floor(Number(rows[0].server_version_num) / 10_000);
      if (major < oldestPostgres)
        throw new StartError(`Postgres ${major} is too old: ${oldestPostgres} or newer is needed.`);
      const applied = await migrate(knex);
      if (applied.length > 0) log.info({ applied }, "migrated");
      return applied;
    } catch (error) {
      if (error instanceof StartError) throw error;
      const { message } = error as Error;
      if (!isOutage(error) || isRefusal(error) || Date.now() > deadline) {
        throw new StartError(`The database of DATABASE_URL cannot be used: ${message}.`, { cause: error });
      }
      if (attempt === 0) log.warn({ reason: message }, "the database does not answer yet");
      await sleep(500);
    } finally {
      await knex.destroy();
    }
  }
}
