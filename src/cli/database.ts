/** The database, as commands use it beside running services. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Knex } from "knex";
import type { Logger } from "pino";
import type { Audit } from "../audit/audit.ts";
import type { Config } from "../config/config.ts";
import { type Database, openDatabase } from "../database/database.ts";
import { isMigrated } from "../database/migrate.ts";
import { explainSchema, findPostgres, migrateWithTimeout, openPostgres } from "../database/open.ts";
import { openForMigration } from "../database/pool.ts";
import { requireUsableSchema } from "../database/schema.ts";
import { StartError } from "../errors.ts";
import { auditLog } from "../observability/log.ts";

export type Tools = {
  database: Database;
  /** All of a change or nothing, however long it takes. */
  atomically<T>(change: (transaction: Knex.Transaction) => Promise<T>): Promise<T>;
  audit: Audit;
};

/**
 * Opens the database for as long as `use` takes.
 * @param migrates applies missing migrations, rather than to refuse a database that lacks some
 * @throws {StartError}
 */
export async function withDatabase(
  config: Config,
  log: Logger,
  use: (tools: Tools) => Promise<void>,
  { migrates = false } = {},
): Promise<void> {
  const { databaseUrl, dataDir } = config;
  // A command never makes a database: it would be another one than the service has.
  if (databaseUrl === undefined && !existsSync(join(dataDir, "postgres")))
    throw new StartError(`There is no database in ${dataDir}. Set DATA_DIR, or DATABASE_URL, as the service has it.`);
  const postgres = (await findPostgres(config)) ?? (await openPostgres(config, log));
  const database = openDatabase(postgres.address, 1);
  const unlimited = openForMigration(postgres.address);
  try {
    if (migrates) await migrateWithTimeout(postgres.address, log);
    else {
      await database.read(requireUsableSchema).catch(explainSchema);
      if (!(await isMigrated(database)))
        throw new StartError("The database is not prepared: run latchkey migrate first.");
    }
    await use({ database, atomically: (change) => atomically(unlimited, change), audit: auditLog(log) });
  } finally {
    await unlimited.destroy();
    await database.close();
    await postgres.close();
  }
}

/** A lock that cannot be had would keep others waiting behind it. */
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
