/** Opens the database for a command, while services may be running. */
import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { Knex } from "knex";
import type { Logger } from "pino";
import type { Audit } from "../audit/audit.ts";
import { actAsCommand } from "../audit/auditRow.ts";
import { auditStore } from "../audit/store.ts";
import { startAuditWriter } from "../audit/writer.ts";
import type { Config } from "../config/config.ts";
import { type Database, openDatabase } from "../database/database.ts";
import { isMigrated } from "../database/migrate.ts";
import { explainSchema, findPostgres, migrateWithTimeout, openPostgres } from "../database/openPostgres.ts";
import { openForMigration } from "../database/pool.ts";
import { requireUsableSchema } from "../database/schema.ts";
import { StartError } from "../errors.ts";
import { auditLog } from "../observability/log.ts";
import type { Run } from "./arguments.ts";

/** What a command works with. */
export type Tools = {
  config: Config;
  log: Logger;
  database: Database;
  /** Runs a change in a transaction without a time limit. @throws {StartError} if a lock is not granted in time */
  atomically<T>(change: (transaction: Knex.Transaction) => Promise<T>): Promise<T>;
  audit: Audit;
};

/**
 * Opens the database, and closes it after `use`.
 * @param options.migrates applies missing migrations; otherwise they are an error
 */
export const withDatabase =
  (use: (tools: Tools) => Promise<void>, { migrates = false } = {}): Run =>
  (config, log) =>
    openAndClose({ config, log, migrates }, use);

/** The actor of the audit events of a command. */
function commandActor(): string {
  try {
    return `command line (${userInfo().username})`;
  } catch {
    return `command line (uid ${process.getuid?.()})`; // the system does not know the user, such as in a container
  }
}

type Opening = { config: Config; log: Logger; migrates: boolean };

/** @throws {StartError} if the database cannot be used */
async function openAndClose({ config, log, migrates }: Opening, use: (tools: Tools) => Promise<void>): Promise<void> {
  const { databaseUrl, dataDir } = config;
  // A command never creates a database: it would not be that of the service.
  if (databaseUrl === undefined && !existsSync(join(dataDir, "postgres")))
    throw new StartError(`There is no database in ${dataDir}. Set DATA_DIR or DATABASE_URL as for the service.`);
  const postgres = (await findPostgres(config)) ?? (await openPostgres(config, log));
  const database = openDatabase(postgres.address, 1);
  const unlimited = openForMigration(postgres.address);
  try {
    if (migrates) await migrateWithTimeout(postgres.address, log);
    else {
      await database.read(requireUsableSchema).catch(explainSchema);
      if (!(await isMigrated(database)))
        throw new StartError("The database lacks migrations: run latchkey migrate first.");
    }
    const actor = commandActor();
    actAsCommand(actor);
    const writer = startAuditWriter({ store: auditStore(database), clock: () => new Date(), onError: () => {} });
    // A person at a terminal does not read JSON. The database has every event.
    const logEvent: Audit = process.stderr.isTTY ? () => {} : auditLog(log.child({ actor }));
    const audit: Audit = (event, details) => {
      logEvent(event, details);
      writer.store(event, details);
    };
    await use({ config, log, database, atomically: (change) => atomically(unlimited, change), audit }).finally(
      writer.close,
    );
  } finally {
    await unlimited.destroy();
    await database.close();
    await postgres.close();
  }
}

/** While it waits for a lock, other transactions wait behind it. */
async function atomically<T>(knex: Knex, change: (transaction: Knex.Transaction) => Promise<T>): Promise<T> {
  try {
    return await knex.transaction(async (transaction) => {
      await transaction.raw("SET LOCAL lock_timeout = '5s'");
      return change(transaction);
    });
  } catch (error) {
    if ((error as { code?: string }).code !== "55P03") throw error;
    throw new StartError("Another transaction holds a lock. Nothing was changed; try again.", { cause: error });
  }
}
