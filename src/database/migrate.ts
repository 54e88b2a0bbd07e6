/**
 * Brings the schema to what this version needs. Migrations only add what the previous version
 * can live with, since it may still be serving while the next one starts.
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
import * as signIn from "./migrations/0011-sign-in.ts";
import { enterSchema, requireTrustedOwners, requireUsableSchema, schemaName } from "./schema.ts";

type Migration = { up(knex: Knex): Promise<void> };

/** In their order. A name, once released, stays: the database remembers it. */
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
  ["0011-sign-in", signIn],
]);

export const migrationNames: readonly string[] = [...migrations.keys()];

/**
 * Applies what is missing, all of it or nothing. Instances that start together wait for the first.
 * The lock is the transaction's own, so that a crash releases it; Knex' lock table is written in
 * the same transaction and so never stays locked.
 * @returns the names of the migrations that were applied.
 */
export async function migrate(knex: Knex): Promise<string[]> {
  return knex.transaction(async (transaction) => {
    await transaction.raw("SET LOCAL lock_timeout = '60s'");
    await lockUntilCommit(transaction, "migrations");
    // While a change waits for a table that somebody reads (a backup, say), all who come after wait behind it. So it
    // gives up before they do, and the start tries again.
    await transaction.raw("SET LOCAL lock_timeout = '500ms'");
    await requireUsableSchema(transaction);
    await enterSchema(transaction);
    const applied = await applyMigrations(transaction, migrationNames);
    await requireTrustedOwners(transaction); // of what was moved, and of a schema that was created meanwhile
    return applied;
  });
}

/**
 * Applies what is missing of these, in the schema that comes first in the search_path.
 * @returns the names of the migrations that were applied
 */
export async function applyMigrations(knex: Knex, names: readonly string[]): Promise<string[]> {
  const [, applied] = (await knex.migrate.latest({
    migrationSource: {
      getMigrations: () => Promise.resolve([...names]),
      getMigrationName: (name) => name,
      getMigration: (name) => Promise.resolve({ down: irreversible, ...migrations.get(name) } as Knex.Migration),
    } satisfies Knex.MigrationSource<string>,
    tableName: "migrations",
    // A newer version may have migrated further; going back to this one must be possible.
    disableMigrationsListValidation: true,
  })) as [number, string[]];
  return applied;
}

/**
 * Finds the migrations that this version needs and that have not been applied. Only reads, and takes no lock.
 * @throws what `pg` throws, such as SQLSTATE 42501 where the role may not read the table
 */
export async function missingMigrations(knex: Knex): Promise<string[]> {
  const applied = await knex
    .withSchema(schemaName)
    .from("migrations")
    .pluck<string[]>("name")
    .catch((error: { code?: string }): string[] => {
      if (error.code === "42P01") return []; // undefined_table: nothing was ever applied
      throw error;
    });
  return migrationNames.filter((name) => !applied.includes(name));
}

/** Whether every migration that this version needs has been applied. */
export async function isMigrated(database: Database): Promise<boolean> {
  return (await database.read(missingMigrations)).length === 0;
}

const irreversible = () => Promise.reject(new Error("Migrations go forward only: restore a backup to go back."));
