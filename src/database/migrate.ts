/**
 * Applies the migrations. A migration must be compatible with the previous version, which may still serve requests while this one
 * starts.
 */
import type { Knex } from "knex";
import type { Database } from "./database.ts";
import { lockUntilCommit } from "./locks.ts";
import * as users from "./migrations/0001-users.ts";
import * as signingKeys from "./migrations/0002-signing-keys.ts";
import * as revocations from "./migrations/0003-revocations.ts";
import * as sessions from "./migrations/0004-sessions.ts";
import * as keyRotation from "./migrations/0005-key-rotation.ts";
import * as throttle from "./migrations/0006-throttle.ts";
import * as endings from "./migrations/0007-endings.ts";
import * as guesses from "./migrations/0008-guesses.ts";
import * as ownSchema from "./migrations/0009-own-schema.ts";
import * as tokenLifetimes from "./migrations/0010-token-lifetimes.ts";
import * as signIn from "./migrations/0011-sign-in.ts";
import * as accessControl from "./migrations/0012-access-control.ts";
import * as oauth from "./migrations/0013-oauth.ts";
import { requireTrustedOwners, requireUsableSchema, schemaName, selectSchema } from "./schema.ts";

type Migration = { up(knex: Knex): Promise<void> };

/** In order. A released name must not change: the database stores it. */
const migrations = new Map<string, Migration>([
  ["0001-users", users],
  ["0002-signing-keys", signingKeys],
  ["0003-revocations", revocations],
  ["0004-sessions", sessions],
  ["0005-key-rotation", keyRotation],
  ["0006-throttle", throttle],
  ["0007-endings", endings],
  ["0008-guesses", guesses],
  ["0009-own-schema", ownSchema],
  ["0010-token-lifetimes", tokenLifetimes],
  ["0011-sign-in", signIn],
  ["0012-access-control", accessControl],
  ["0013-oauth", oauth],
]);

export const migrationNames: readonly string[] = [...migrations.keys()];

/**
 * Applies the missing migrations, each in a transaction of its own, so that no table stays locked during the next migration.
 * Instances that start at the same time share the work: the transaction holds the lock, and a crash releases it. It also writes
 * the lock table of Knex, which therefore never stays locked.
 * @param applied receives the names of the applied migrations, even if a later one fails
 * @returns the names of the applied migrations
 */
export async function migrate(knex: Knex, applied: string[] = []): Promise<string[]> {
  // Before the first one, because a migration may take over one of several earlier installations.
  let next = await knex.transaction((transaction) => applyNext(transaction, requireUsableSchema));
  while (next.length > 0) {
    applied.push(...next);
    next = await knex.transaction((transaction) => applyNext(transaction));
  }
  return applied;
}

/** Applies the first missing migration. @returns its name, or nothing if none is missing */
async function applyNext(transaction: Knex.Transaction, check?: (knex: Knex) => Promise<void>): Promise<string[]> {
  await transaction.raw("SET LOCAL lock_timeout = '60s'");
  await lockUntilCommit(transaction, "migrations");
  // While a migration waits for a table lock, for example because of a backup, all later queries on the table wait behind it.
  // So it times out before they do, and the caller retries.
  await transaction.raw("SET LOCAL lock_timeout = '500ms'");
  await check?.(transaction);
  await selectSchema(transaction);
  const [, applied] = (await transaction.migrate.up(sourceOf(migrationNames))) as [number, string[]];
  await requireTrustedOwners(transaction); // tables may have been moved, and another role may have just created the schema
  return applied;
}

/** Applies those of the given migrations that are missing, in the first schema of the search_path. */
export async function applyMigrations(knex: Knex, names: readonly string[]): Promise<void> {
  await knex.migrate.latest(sourceOf(names));
}

const sourceOf = (names: readonly string[]): Knex.MigratorConfig => ({
  migrationSource: {
    getMigrations: () => Promise.resolve([...names]),
    getMigrationName: (name) => name,
    getMigration: (name) => Promise.resolve({ down: irreversible, ...migrations.get(name) } as Knex.Migration),
  } satisfies Knex.MigrationSource<string>,
  tableName: "migrations",
  // A newer version may have applied more migrations, and a downgrade to this one must be possible.
  disableMigrationsListValidation: true,
});

/**
 * The migrations that have not been applied. Reads only, and takes no lock.
 * @throws the errors of `pg`, such as SQLSTATE 42501 if the role may not read the table
 */
export async function missingMigrations(knex: Knex): Promise<string[]> {
  const applied = await knex
    .withSchema(schemaName)
    .from("migrations")
    .pluck<string[]>("name")
    .catch((error: { code?: string }): string[] => {
      if (error.code === "42P01") return []; // undefined_table: none was applied
      throw error;
    });
  return migrationNames.filter((name) => !applied.includes(name));
}

/** Whether all migrations of this version have been applied. */
export async function isMigrated(database: Database): Promise<boolean> {
  return (await database.read(missingMigrations)).length === 0;
}

const irreversible = () => Promise.reject(new Error("Migrations go forward only: restore a backup to go back."));
