/**
 * The schema of the service's tables. It has one of its own, since `users`, `sessions` and `migrations` are names that other
 * programs use as well.
 */
import type { Knex } from "knex";
import { type RowOf, statement } from "./sql.ts";
import { boolean, nullable, text } from "./sqlTypes.ts";

export const schemaName = "latchkey";

/**
 * What unqualified names mean on each connection, whatever the role or the database has for `search_path`. Temporary tables
 * come last: where they are not named, they come first.
 */
export const searchPath = `${schemaName}, pg_temp`;

/** Several installations were found, and the search path selects none. */
export class AmbiguousSchemaError extends Error {}

/** The tables may have been planted by another role, which would read and change what the service writes. */
export class UntrustedOwnerError extends Error {}

/** What the `migrations` of an installation has, whatever its version. */
const firstMigrations = ["0001-users", "0002-signing-keys"];

/**
 * The roles whose objects are used: the current one, those that it is a member of, the database's owner and superusers. It looks
 * memberships up, since pg_has_role() calls a superuser a member of every role.
 */
const trustedRoles = `(
  WITH RECURSIVE memberships (role) AS (
    SELECT oid FROM pg_roles WHERE rolname = current_user
    UNION SELECT roleid FROM pg_auth_members JOIN memberships ON member = role
  )
  SELECT role FROM memberships
  UNION SELECT oid FROM pg_roles WHERE rolsuper OR rolname = 'pg_database_owner'
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
)`;

const findUntrustedOwner = statement({
  name: "find-untrusted-owner",
  sql: `WITH space AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = '${schemaName}'),
    items (rank, item, owner) AS (
      SELECT 1, 'schema ${schemaName}', nspowner FROM space
      UNION ALL SELECT 2, 'table ${schemaName}.' || relname, relowner FROM pg_class JOIN space ON space.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      UNION ALL SELECT 3, 'function ${schemaName}.' || proname, proowner FROM pg_proc JOIN space ON space.oid = pronamespace
    )
    SELECT item, pg_get_userbyid(owner)::text AS owner FROM items WHERE owner NOT IN ${trustedRoles} ORDER BY rank, item LIMIT 1`,
  columns: { item: text, owner: text },
});

/**
 * The schemas that have tables with the names of Latchkey's. `owner` is a role that is not trusted, if one of the tables
 * belongs to such a role.
 */
const findCandidates = statement({
  name: "find-installation-candidates",
  sql: `SELECT nspname::text AS schema, (SELECT rolname::text FROM pg_roles
        WHERE oid IN (keys.relowner, migrations.relowner) AND oid NOT IN ${trustedRoles} LIMIT 1) AS owner
    FROM pg_namespace
    JOIN pg_class keys ON keys.relnamespace = pg_namespace.oid AND keys.relname = 'signing_keys' AND keys.relkind = 'r'
    JOIN pg_class migrations ON migrations.relnamespace = pg_namespace.oid AND migrations.relname = 'migrations'
      AND migrations.relkind = 'r'
    WHERE has_schema_privilege(pg_namespace.oid, 'USAGE') AND has_table_privilege(migrations.oid, 'SELECT')
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = keys.oid AND attname = 'private_jwe')
      AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = migrations.oid AND attname = 'name')
    ORDER BY nspname`,
  columns: { schema: text, owner: nullable(text) },
});

const schemaExists = statement({
  name: "schema-exists",
  sql: "SELECT FROM pg_namespace WHERE nspname = :schema",
  parameters: { schema: text },
});

const mayCreateTables = statement({
  name: "may-create-tables",
  sql: "SELECT has_schema_privilege(:schema, 'CREATE') AS may",
  parameters: { schema: text },
  columns: { may: boolean },
});

const setSearchPath = statement({
  name: "set-search-path",
  sql: "SELECT FROM set_config('search_path', :path, true)",
  parameters: { path: text },
});

const setSearchPathTo = statement({
  name: "set-search-path-to-schema",
  sql: "SELECT FROM set_config('search_path', quote_ident(:schema) || ', pg_temp', true)",
  parameters: { schema: text },
});

const resetSearchPath = statement({
  name: "reset-search-path",
  sql: "SELECT FROM pg_settings, set_config('search_path', reset_val, true) WHERE name = 'search_path'",
});

const findPath = statement({
  name: "find-search-path",
  sql: "SELECT schema::text FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (schema, place) ORDER BY place",
  columns: { schema: text },
});

const untrusted = (item: string, owner: string): UntrustedOwnerError =>
  new UntrustedOwnerError(
    `The ${item} belongs to the role ${owner}, which is not the role of DATABASE_URL or one that it is a member of, the owner of the database or a superuser`,
  );

/**
 * Refuses a schema that another role may have planted, and one beside which the role's `search_path` leads to tables of another
 * installation. Only reads.
 * @throws {UntrustedOwnerError | AmbiguousSchemaError}
 */
export async function requireUsableSchema(knex: Knex): Promise<void> {
  await knex.transaction(async (transaction) => {
    await requireTrustedOwners(transaction);
    const schemas = (await installations(transaction)).filter(isTrusted).map(({ schema }) => schema);
    if (!schemas.includes(schemaName) || schemas.length === 1) return;
    const other = (await rolesPath(transaction)).find((schema) => schema !== schemaName && schemas.includes(schema));
    if (other === undefined) return;
    throw new AmbiguousSchemaError(
      `The schemas ${schemaName} and ${other} both have tables of Latchkey: rename the schema, or drop the tables, not to use`,
    );
  });
}

/**
 * Anyone with CREATE on the database can create the schema before Latchkey does. So it and what is in it must belong to roles
 * that are trusted.
 * @throws {UntrustedOwnerError}
 */
export async function requireTrustedOwners(knex: Knex): Promise<void> {
  const found = await findUntrustedOwner.first(knex);
  if (found) throw untrusted(found.item, found.owner);
}

/**
 * Chooses the schema in which the missing migrations are applied, for the rest of the transaction: `latchkey`, which is
 * created where it is missing; or, for an installation of an earlier version, the schema that has its tables.
 * @throws {AmbiguousSchemaError | UntrustedOwnerError}
 */
export async function enterSchema(transaction: Knex.Transaction): Promise<void> {
  const found = await installations(transaction);
  if (found.some(({ schema }) => schema === schemaName)) return requireCreate(transaction);
  const earlier = await earlierInstallation(transaction, found);
  if (earlier !== undefined) {
    await setSearchPathTo.count(transaction, { schema: earlier });
    return;
  }
  const exists = (await schemaExists.count(transaction, { schema: schemaName })) > 0;
  // IF NOT EXISTS would need the right to create a schema even where it exists.
  if (!exists) await transaction.raw(`CREATE SCHEMA ${schemaName}`);
}

/** Knex hides what its first statement was refused for. @throws an error as of Postgres, with SQLSTATE 42501 */
async function requireCreate(transaction: Knex.Transaction): Promise<void> {
  const { may } = await mayCreateTables.one(transaction, { schema: schemaName });
  if (!may) throw Object.assign(new Error(`permission denied for schema ${schemaName}`), { code: "42501" });
}

type Installation = RowOf<typeof findCandidates>;

const isTrusted = ({ owner }: Installation): boolean => owner === null;

/**
 * Finds the schemas with tables of Latchkey. Other programs have tables with the same names; what tells them apart is the
 * names of the migrations, and a column that only Latchkey has. It reads no table of a role that is not trusted: row policies
 * and casts can call that role's functions, with the rights of this one.
 */
async function installations(transaction: Knex.Transaction): Promise<Installation[]> {
  const found: Installation[] = [];
  for (const candidate of await findCandidates.rows(transaction)) {
    if (!isTrusted(candidate)) {
      found.push(candidate);
      continue;
    }
    const { rows } = await transaction.raw<{ rows: { isOurs: boolean }[] }>(
      `SELECT count(DISTINCT name::text) = 2 AS "isOurs" FROM ??.migrations WHERE name::text IN (?, ?)`,
      [candidate.schema, ...firstMigrations],
    );
    if (rows[0]?.isOurs) found.push(candidate);
  }
  return found;
}

/**
 * The schema that an earlier version would use, which relied on the `search_path` of the role and of the database. Tables of a
 * role that is not trusted are refused there, rather than to begin anew beside them, and ignored elsewhere.
 */
async function earlierInstallation(transaction: Knex.Transaction, found: Installation[]): Promise<string | undefined> {
  if (found.length === 0) return undefined;
  const path = await rolesPath(transaction);
  const onPath = path.flatMap((name) => found.filter(({ schema }) => schema === name));
  const trusted = found.filter(isTrusted).map(({ schema }) => schema);
  const first = onPath[0];
  if (first?.owner) throw untrusted(`installation in the schema ${first.schema}`, first.owner);
  if (first) return first.schema;
  if (trusted.length < 2) return trusted[0];
  throw new AmbiguousSchemaError(
    `The schemas ${trusted.join(" and ")} both have tables of Latchkey: set the search_path of the role to the one to use`,
  );
}

/** The existing schemas of the `search_path` that the role and the database have, which other connections do not use. */
async function rolesPath(transaction: Knex.Transaction): Promise<string[]> {
  await resetSearchPath.count(transaction);
  const path = await findPath.rows(transaction);
  await setSearchPath.count(transaction, { path: searchPath });
  return path.map(({ schema }) => schema);
}
