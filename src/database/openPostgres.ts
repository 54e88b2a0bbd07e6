/** Opens the Postgres of DATABASE_URL or the embedded one, and applies the migrations. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { StartError } from "../errors.ts";
import { createLifecycle, type Lifecycle } from "../lib/lifecycle.ts";
import type { DatabaseAddress } from "./connect.ts";
import { findRunningPostgres, startEmbeddedPostgres } from "./embedded/postgres.ts";
import { isConnectionRejected, isLockConflict, isOutage, UnsuitableDatabaseError } from "./errors.ts";
import { migrate, missingMigrations } from "./migrate.ts";
import { openForMigration } from "./pool.ts";
import { requireSessionPooling } from "./poolerMode.ts";
import { AmbiguousSchemaError, requireUsableSchema, UntrustedOwnerError } from "./schema.ts";

/** How long a start waits for a database that does not respond. */
const databaseTimeoutMs = 10_000;

export type Postgres = { address: DatabaseAddress; close(): Promise<unknown>; failed: Promise<string> };

/** For a Postgres that another process runs: it is not stopped here, and its end is no failure. */
const external = { close: () => Promise.resolve(), failed: new Promise<never>(() => {}) };

/** Opens Postgres. The embedded Postgres is stopped by `lifecycle`, even while it is starting. */
export async function openPostgres(
  config: Config,
  log: Logger,
  lifecycle: Lifecycle = createLifecycle(),
): Promise<Postgres> {
  if (config.databaseUrl !== undefined) return { address: config.databaseUrl, ...external };
  const { dataDir } = config;
  const starting = startEmbeddedPostgres({
    dataDir,
    cancelled: lifecycle.closing,
    log: (message) => log.info(message),
    // Besides its pool, each process has four connections for background tasks, and sometimes one to look for abandoned queries.
    // The rest is for commands and tools.
    parameters: { max_connections: String(Math.max(100, config.workers * (config.databasePoolMax + 5) + 20)) },
  });
  const stop = () =>
    starting.then(
      (postgres) => postgres.stop(),
      () => {}, // a start that fails stops Postgres
    );
  lifecycle.add("postgres", "embedded Postgres", stop);
  const postgres = await starting;
  return {
    address: postgres.connection,
    close: stop,
    failed: postgres.exited.then(({ expected }) =>
      expected ? new Promise<string>(() => {}) : `The embedded Postgres ended; its log is under ${dataDir}.`,
    ),
  };
}

/** @returns the Postgres of DATABASE_URL, or the embedded one if another process runs it */
export async function findPostgres({ databaseUrl, dataDir }: Config): Promise<Postgres | undefined> {
  if (databaseUrl !== undefined) return { address: databaseUrl, ...external };
  const running = await findRunningPostgres(dataDir);
  return running && { address: running, ...external };
}

/** Opens Postgres and applies the missing migrations. @throws {StartError} */
export async function openMigratedPostgres(config: Config, log: Logger, lifecycle: Lifecycle): Promise<Postgres> {
  const postgres = await openPostgres(config, log, lifecycle);
  lifecycle.closing.throwIfAborted();
  await migrateWithTimeout(postgres.address, log);
  lifecycle.closing.throwIfAborted();
  return postgres;
}

/**
 * Applies the missing migrations. Waits for a database that does not respond yet, and for tables that others have locked, as
 * happens while the previous version serves.
 * @returns the names of the applied migrations
 * @throws {StartError}
 */
export async function migrateWithTimeout(address: DatabaseAddress, log: Logger): Promise<string[]> {
  const deadline = Date.now() + databaseTimeoutMs;
  const applied: string[] = [];
  for (let attempt = 0; ; attempt += 1) {
    const knex = openForMigration(address);
    try {
      await requireSessionPooling(address);
      await requireUsableSchema(knex).catch(explainSchema); // before anything is read from it
      const missing = await missingMigrations(knex).catch(explainMissingPrivilege);
      // A role that may not create tables can serve a database that another role has migrated.
      if (missing.length > 0)
        await migrate(knex, applied)
          .catch(explainSchema)
          .catch((cause) => explainMissingPrivilege(cause, missing));
      if (applied.length > 0) log.info({ applied }, "migrated");
      return applied;
    } catch (error) {
      if (error instanceof StartError) throw error;
      const message = withoutStatement(error as Error);
      const isFinal = !isOutage(error) || isConnectionRejected(error) || error instanceof UnsuitableDatabaseError;
      if (isFinal || Date.now() > deadline) {
        throw new StartError(`The database of DATABASE_URL cannot be used: ${message}.`, { cause: error });
      }
      if (attempt === 0 && isLockConflict(error)) log.info({ reason: message }, "the migrations wait for a lock");
      else if (attempt === 0) log.warn({ reason: message }, "the database does not answer yet");
      await sleep(500);
    } finally {
      await knex.destroy();
    }
  }
}

/** @throws {StartError} for an unusable schema; any other error unchanged */
export function explainSchema(cause: unknown): never {
  if (cause instanceof AmbiguousSchemaError || cause instanceof UntrustedOwnerError)
    throw new StartError(`${cause.message}.`, { cause });
  throw cause;
}

/**
 * Explains that the role lacks a privilege (SQLSTATE 42501).
 * @param missing the migrations that it may not apply. If absent, it may not read which ones have been applied.
 */
function explainMissingPrivilege(cause: Error & { code?: string }, missing?: string[]): never {
  if (cause.code !== "42501") throw cause;
  const message = withoutStatement(cause);
  if (!missing)
    throw new StartError(`The role of DATABASE_URL needs rights on the schema latchkey: ${message}.`, { cause });
  const names = missing.length > 3 ? `${missing.length} migrations` : `the migrations ${missing.join(", ")}`;
  const advice = "Run latchkey migrate with a role that may.";
  throw new StartError(`The database lacks ${names}, which this role may not apply (${message}). ${advice}`, { cause });
}

/** The message of Postgres without the statement, which Knex puts in front of it. */
const withoutStatement = ({ message }: Error): string =>
  message.slice(message.lastIndexOf(" - ") + 1).replace(/^- /, "");
