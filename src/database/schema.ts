/**
 * The schema of the service's tables. It has one of its own, since `users`, `sessions` and `migrations` are names that other
 * programs use as well.
 */
import type { Knex } from "knex";

export const schemaName = "latchkey";

/**
 * What unqualified names mean on each connection, whatever the role or the database has for `search_path`. Temporary tables
 * come last: where they are not named, they come first.
 */
export const searchPath = `${schemaName}, pg_temp`;

/** Several installations were found, and the search path selects none. */
export class AmbiguousSchemaError extends Error {}

/** What the `migrations` of an installation has, whatever its version. */
const firstMigrations = ["0001-users", "0002-signing-keys"];

type Result<T> = { rows: T[] };

/**
 * Chooses the schema in which the missing migrations are applied, for the rest of the transaction: `latchkey`, which is
 * created where it is missing; or, for an installation of an earlier version, the schema that has its tables.
 * @throws {AmbiguousSchemaError}
 */
export async function enterSchema(transaction: Knex.Transaction): Promise<void> {
  const schemas = await installations(transaction);
  if (schemas.includes(schemaName)) return requireCreate(transaction);
  const earlier = schemas.length > 1 ? await firstOnRolesPath(transaction, schemas) : schemas[0];
  if (earlier !== undefined) {
    await transaction.raw("SELECT set_config('search_path', quote_ident(?) || ', pg_temp', true)", [earlier]);
    return;
  }
  const { rowCount } = await transaction.raw<{ rowCount: number }>("SELECT FROM pg_namespace WHERE nspname = ?", [
    schemaName,
  ]);
  // IF NOT EXISTS would need the right to create a schema even where it exists.
  if (rowCount === 0) await transaction.raw(`CREATE SCHEMA ${schemaName}`);
}

/** Knex hides what its first statement was refused for. @throws an error as of Postgres, with SQLSTATE 42501 */
async function requireCreate(transaction: Knex.Transaction): Promise<void> {
  const { rows } = await transaction.raw<Result<{ may: boolean }>>("SELECT has_schema_privilege(?, 'CREATE') AS may", [
    schemaName,
  ]);
  if (!rows[0]?.may) throw Object.assign(new Error(`permission denied for schema ${schemaName}`), { code: "42501" });
}

/**
 * Finds the schemas with tables of Latchkey. Other programs have tables with the same names; what tells them apart is the
 * names of the migrations, and a column that only Latchkey has.
 */
async function installations(transaction: Knex.Transaction): Promise<string[]> {
  const { rows: candidates } = await transaction.raw<Result<{ schema: string }>>(
    `SELECT nspname AS schema FROM pg_namespace
     WHERE has_schema_privilege(oid, 'USAGE') AND EXISTS (SELECT FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
                   WHERE relnamespace = pg_namespace.oid AND relname = 'signing_keys' AND relkind = 'r'
                     AND attname = 'private_jwe')
       AND EXISTS (SELECT FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
                   WHERE relnamespace = pg_namespace.oid AND relname = 'migrations' AND relkind = 'r'
                     AND attname = 'name' AND has_table_privilege(pg_class.oid, 'SELECT'))
     ORDER BY nspname`,
  );
  const found: string[] = [];
  for (const { schema } of candidates) {
    const { rows } = await transaction.raw<Result<{ isOurs: boolean }>>(
      `SELECT count(DISTINCT name::text) = 2 AS "isOurs" FROM ??.migrations WHERE name::text IN (?, ?)`,
      [schema, ...firstMigrations],
    );
    if (rows[0]?.isOurs) found.push(schema);
  }
  return found;
}

/** The schema that an earlier version would use, which relied on the `search_path` of the role and of the database. */
async function firstOnRolesPath(transaction: Knex.Transaction, schemas: string[]): Promise<string> {
  await transaction.raw(
    "SELECT set_config('search_path', reset_val, true) FROM pg_settings WHERE name = 'search_path'",
  );
  const { rows } = await transaction.raw<Result<{ schema: string }>>(
    "SELECT schema FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (schema, place) ORDER BY place",
  );
  const first = rows.find(({ schema }) => schemas.includes(schema));
  if (first) return first.schema;
  throw new AmbiguousSchemaError(
    `The schemas ${schemas.join(" and ")} both have tables of Latchkey: set the search_path of the role to the one to use`,
  );
}
