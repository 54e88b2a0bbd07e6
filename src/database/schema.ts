/**
 * The schema that contains the tables. Latchkey has its own, because other programs also have tables named `users`, `sessions` or
 * `migrations`.
 */
import type { Knex } from "knex";
import { type RowOf, statement } from "./sql.ts";
import { boolean, nullable, text } from "./sqlTypes.ts";

export const schemaName = "latchkey";

/**
 * The `search_path` of each connection. It overrides that of the role and the database. `pg_temp` must be named, or Postgres
 * searches it first and temporary tables hide others.
 */
export const searchPath = `${schemaName}, pg_temp`;

/** There are several installations, and the role's search path does not decide between them. */
export class AmbiguousSchemaError extends Error {}

/** Another role may have created the tables, and could read and change what the service writes. */
export class UntrustedOwnerError extends Error {}

/** The names that the table `migrations` of every installation contains. */
const firstMigrations = ["0001-users", "0002-signing-keys"];

/**
 * SQL of the trusted roles: the current one, those that it is a member of, the owner of the database, and superusers. It
 * does not use pg_has_role(), for which a superuser is a member of every role.
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
 * The schemas that have tables with the names of Latchkey's tables. `owner` is NULL, unless one of the tables belongs to an
 * untrusted role.
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

const findSearchPath = statement({
  name: "find-search-path",
  sql: "SELECT schema::text FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (schema, place) ORDER BY place",
  columns: { schema: text },
});

const untrustedOwnerError = (item: string, owner: string): UntrustedOwnerError =>
  new UntrustedOwnerError(
    `The ${item} belongs to the role ${owner}, which is not the role of DATABASE_URL or one that it is a member of, the owner of the database or a superuser`,
  );

/**
 * Rejects a schema that another role may have created, and a second installation on the `search_path` of the role. It only reads.
 * @throws {UntrustedOwnerError | AmbiguousSchemaError}
 */
export async function requireUsableSchema(knex: Knex): Promise<void> {
  await knex.transaction(async (transaction) => {
    await requireTrustedOwners(transaction);
    const schemas = (await findInstallations(transaction)).filter(isTrusted).map(({ schema }) => schema);
    if (!schemas.includes(schemaName) || schemas.length === 1) return;
    const other = (await readRoleSearchPath(transaction)).find(
      (schema) => schema !== schemaName && schemas.includes(schema),
    );
    if (other === undefined) return;
    throw new AmbiguousSchemaError(
      `The schemas ${schemaName} and ${other} both have tables of Latchkey: rename the schema, or drop the tables, not to use`,
    );
  });
}

/**
 * Requires that trusted roles own the schema and its objects. Any role with CREATE on the database can create the schema before
 * Latchkey does.
 * @throws {UntrustedOwnerError}
 */
export async function requireTrustedOwners(knex: Knex): Promise<void> {
  const found = await findUntrustedOwner.first(knex);
  if (found) throw untrustedOwnerError(found.item, found.owner);
}

/**
 * Sets the schema for the missing migrations until the end of the transaction: `latchkey`, which is created if it is missing, or
 * the schema that an earlier version used.
 * @throws {AmbiguousSchemaError | UntrustedOwnerError}
 */
export async function selectSchema(transaction: Knex.Transaction): Promise<void> {
  const found = await findInstallations(transaction);
  if (found.some(({ schema }) => schema === schemaName)) return requireCreate(transaction);
  const earlier = await earlierInstallation(transaction, found);
  if (earlier !== undefined) {
    await setSearchPathTo.count(transaction, { schema: earlier });
    return;
  }
  const exists = (await schemaExists.count(transaction, { schema: schemaName })) > 0;
  // IF NOT EXISTS would require the CREATE privilege even if the schema exists.
  if (!exists) await transaction.raw(`CREATE SCHEMA ${schemaName}`);
}

/** Knex hides the reason why its first statement failed. @throws an error like that of Postgres, with SQLSTATE 42501 */
async function requireCreate(transaction: Knex.Transaction): Promise<void> {
  const { may } = await mayCreateTables.one(transaction, { schema: schemaName });
  if (!may) throw Object.assign(new Error(`permission denied for schema ${schemaName}`), { code: "42501" });
}

type Installation = RowOf<typeof findCandidates>;

const isTrusted = ({ owner }: Installation): boolean => owner === null;

/**
 * Finds the schemas with tables of Latchkey, by the names of the migrations and by a column that other programs do not have. It
 * reads no table of an untrusted role, because row policies and casts can call functions of that role with the privileges of this
 * one.
 */
async function findInstallations(transaction: Knex.Transaction): Promise<Installation[]> {
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
 * The schema that an earlier version would use, which relied on the `search_path` of the role and the database. Tables of an
 * untrusted role are rejected in that schema, because a new installation beside them would start empty. In other schemas they are
 * ignored.
 */
async function earlierInstallation(transaction: Knex.Transaction, found: Installation[]): Promise<string | undefined> {
  if (found.length === 0) return undefined;
  const path = await readRoleSearchPath(transaction);
  const onPath = path.flatMap((name) => found.filter(({ schema }) => schema === name));
  const trusted = found.filter(isTrusted).map(({ schema }) => schema);
  const first = onPath[0];
  if (first?.owner) throw untrustedOwnerError(`installation in the schema ${first.schema}`, first.owner);
  if (first) return first.schema;
  if (trusted.length < 2) return trusted[0];
  throw new AmbiguousSchemaError(
    `The schemas ${trusted.join(" and ")} both have tables of Latchkey: set the search_path of the role to the one to use`,
  );
}

/** The existing schemas of the role's own `search_path`, which connections of Latchkey override. */
async function readRoleSearchPath(transaction: Knex.Transaction): Promise<string[]> {
  await resetSearchPath.count(transaction);
  const path = await findSearchPath.rows(transaction);
  await setSearchPath.count(transaction, { path: searchPath });
  return path.map(({ schema }) => schema);
}
