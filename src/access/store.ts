import type { AuditEvent } from "../audit/audit.ts";
import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { userId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { arrayOf, boolean, integer, json, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import type { ApiScope, ApiStore } from "./apis.ts";
import { administrator, defaultRole, type RightsStore, rightsSubject, roleSubject } from "./rights.ts";
import type { RoleStore } from "./roles.ts";

const findRights = statement({
  name: "find-rights",
  sql: `WITH held AS (SELECT role FROM user_roles WHERE user_id = :userId),
      applied AS (SELECT * FROM roles WHERE name = '${defaultRole}' OR name IN (SELECT role FROM held))
    SELECT ARRAY(SELECT role FROM held ORDER BY role) AS roles,
      ARRAY(SELECT DISTINCT unnest(scopes) FROM applied) AS scopes,
      coalesce((SELECT version FROM users WHERE id = :userId), 0) AS "userVersion",
      (SELECT json_object_agg(name, version) FROM applied) AS "roleVersions"`,
  parameters: { userId },
  columns: {
    roles: arrayOf(text),
    scopes: arrayOf(text),
    userVersion: integer,
    roleVersions: json<Record<string, number>>(),
  },
});

export const rightsStore = (database: Database): RightsStore => ({
  async findRights(userId) {
    const { roles, scopes, userVersion, roleVersions } = await database.read((knex) =>
      findRights.one(knex, { userId }),
    );
    const epochs = Object.entries(roleVersions).map(([role, version]) => [roleSubject(role), version] as const);
    return {
      roles,
      scopes: new Set(scopes),
      isAdministrator: roles.includes(administrator),
      epochs: { [rightsSubject(userId)]: userVersion, ...Object.fromEntries(epochs) },
    };
  },
});

const selectedRole = 'name, description, scopes, created_at AS "createdAt", updated_at AS "updatedAt"';
const roleColumns = {
  name: text,
  description: text,
  scopes: arrayOf(text),
  createdAt: timestamptz,
  updatedAt: timestamptz,
};
const roleParameters = { name: text, description: text, scopes: arrayOf(text) };
const roleChanged = "'role:' || name";

/** No user is the subject of these events. */
const record = (event: AuditEvent, from: string, details: string): string =>
  recordEvent({ event, from, subject: "NULL::uuid", details: `jsonb_build_object(${details})` });
const recordRole = (from: string): string =>
  record("role-changed", from, `'role', ${from}.name, 'scope', array_to_string(${from}.scopes, ' ')`);

const listRoles = statement({
  name: "list-roles",
  sql: `SELECT ${selectedRole} FROM roles WHERE :after IS NULL OR name > :after ORDER BY name LIMIT :limit`,
  parameters: { after: nullable(text), limit: integer },
  columns: roleColumns,
});

const findRole = statement({
  name: "find-role",
  sql: `SELECT ${selectedRole} FROM roles WHERE name = :name`,
  parameters: { name: text },
  columns: roleColumns,
});

const insertRole = statement({
  name: "insert-role",
  sql: `WITH created AS (
      INSERT INTO roles (name, description, scopes) VALUES (:name, :description, :scopes) ON CONFLICT DO NOTHING RETURNING *
    ), audited AS (${recordRole("created")})
    SELECT ${selectedRole} FROM created`,
  parameters: { ...roleParameters, audit: auditParameter },
  columns: roleColumns,
});

/** If the role keeps all scopes that it had, no token is revoked: the entry only makes instances read the role again. */
const replaceRole = statement({
  name: "replace-role",
  sql: `WITH changed AS (
      UPDATE roles SET description = :description, scopes = :scopes, version = DEFAULT, updated_at = now()
      WHERE name = :name AND scopes = :expected RETURNING *
    ), revoked AS (
      ${revoke({ from: "changed", subject: roleChanged, minimumEpoch: "CASE WHEN :expected <@ :scopes THEN 0 ELSE version END" })}
    ), audited AS (${recordRole("changed")})
    SELECT ${selectedRole}, revoked.* FROM changed, revoked`,
  parameters: { ...roleParameters, expected: arrayOf(text), audit: auditParameter },
  columns: { ...roleColumns, ...revocationColumns },
});

const deleteRole = statement({
  name: "delete-role",
  sql: `WITH deleted AS (DELETE FROM roles WHERE name = :name AND scopes = :expected RETURNING name, version),
      audited AS (${record("role-deleted", "deleted", "'role', deleted.name")})
    ${revoke({ from: "deleted", subject: roleChanged, minimumEpoch: "version + 1" })}`,
  parameters: { name: text, expected: arrayOf(text), audit: auditParameter },
  columns: revocationColumns,
});

const findApiScopes = statement({
  name: "find-api-scopes",
  sql: `SELECT scope AS name FROM unnest(:names) AS wanted (scope)
    WHERE EXISTS (SELECT FROM apis WHERE scopes @> jsonb_build_array(jsonb_build_object('name', scope)))`,
  parameters: { names: arrayOf(text) },
  columns: { name: nullable(text) },
});

export const roleStore = (database: Database): RoleStore => ({
  list: (limit, after) => database.read((knex) => listRoles.rows(knex, { limit, after: after ?? null })),
  find: (name) => database.read((knex) => findRole.first(knex, { name })),
  insert: (role) => database.write((knex) => insertRole.first(knex, { ...role, audit: auditContext() })),
  async replace(role, expected) {
    const change = { ...role, expected, audit: auditContext() };
    const row = await database.write((knex) => replaceRole.first(knex, change));
    if (!row) return undefined;
    const { subject, minimumEpoch, expiresAt, ...replaced } = row;
    return { role: replaced, changed: { subject, minimumEpoch, expiresAt } };
  },
  delete: (name, expected) =>
    database.write((knex) => deleteRole.first(knex, { name, expected, audit: auditContext() })),
  async findApiScopes(names) {
    const rows = await database.read((knex) => findApiScopes.rows(knex, { names }));
    return rows.flatMap(({ name }) => name ?? []);
  },
});

const selectedApi = `audience, name, scopes::json AS scopes, token_ttl_seconds AS "tokenTtlSeconds",
  contract IS NOT NULL AS "hasContract", version,
  created_at AS "createdAt", updated_at AS "updatedAt"`;
const apiColumns = {
  audience: text,
  name: text,
  scopes: json<ApiScope[]>(),
  tokenTtlSeconds: nullable(integer),
  hasContract: boolean,
  version: integer,
  createdAt: timestamptz,
  updatedAt: timestamptz,
};
const apiChanged = "'api:' || audience";
const recordApi = (event: AuditEvent, from: string): string =>
  record(
    event,
    from,
    `'audience', ${from}.audience, 'scope',
      array_to_string(ARRAY(SELECT scope ->> 'name' FROM jsonb_array_elements(${from}.scopes) AS scope), ' ')`,
  );

const listApis = statement({
  name: "list-apis",
  sql: `SELECT ${selectedApi} FROM apis WHERE :after IS NULL OR audience > :after ORDER BY audience LIMIT :limit`,
  parameters: { after: nullable(text), limit: integer },
  columns: apiColumns,
});

const findApi = statement({
  name: "find-api",
  sql: `SELECT ${selectedApi} FROM apis WHERE audience = :audience`,
  parameters: { audience: text },
  columns: apiColumns,
});

const findApiContract = statement({
  name: "find-api-contract",
  sql: "SELECT scopes::json AS scopes, contract FROM apis WHERE audience = :audience",
  parameters: { audience: text },
  columns: { scopes: json<ApiScope[]>(), contract: nullable(text) },
});

const insertApi = statement({
  name: "insert-api",
  sql: `WITH created AS (
      INSERT INTO apis (audience, name, scopes, token_ttl_seconds, contract)
      VALUES (:audience, :name, :scopes::jsonb, :ttl, :contract)
      ON CONFLICT DO NOTHING RETURNING *
    ), audited AS (${recordApi("api-created", "created")})
    SELECT ${selectedApi} FROM created`,
  parameters: {
    audience: text,
    name: text,
    scopes: text,
    ttl: nullable(integer),
    contract: nullable(text),
    audit: auditParameter,
  },
  columns: apiColumns,
});

/** If the API keeps all scopes that it had, no token is revoked. */
const updateApi = statement({
  name: "update-api",
  sql: `WITH previous AS MATERIALIZED (
      SELECT audience AS previous_audience, scopes AS previous_scopes FROM apis WHERE audience = :audience FOR NO KEY UPDATE
    ), changed AS (
      UPDATE apis SET name = coalesce(:name, name), scopes = coalesce(:scopes::jsonb, scopes),
        token_ttl_seconds = CASE WHEN :setsTtl THEN :ttl ELSE token_ttl_seconds END,
        contract = CASE WHEN :setsContract THEN :contract ELSE contract END, version = DEFAULT, updated_at = now()
      FROM previous WHERE audience = previous_audience RETURNING *
    ), removed AS (
      SELECT FROM changed, jsonb_array_elements(previous_scopes) AS scope
      WHERE NOT scopes @> jsonb_build_array(jsonb_build_object('name', scope -> 'name'))
    ), revoked AS (
      ${revoke({ from: "changed", subject: apiChanged, minimumEpoch: "CASE WHEN EXISTS (SELECT FROM removed) THEN version ELSE 0 END" })}
    ), audited AS (${recordApi("api-changed", "changed")})
    SELECT ${selectedApi}, revoked.* FROM changed, revoked`,
  parameters: {
    audience: text,
    name: nullable(text),
    scopes: nullable(text),
    setsTtl: boolean,
    ttl: nullable(integer),
    setsContract: boolean,
    contract: nullable(text),
    audit: auditParameter,
  },
  columns: { ...apiColumns, ...revocationColumns },
});

const deleteApi = statement({
  name: "delete-api",
  sql: `WITH deleted AS (DELETE FROM apis WHERE audience = :audience RETURNING audience, version),
      audited AS (${record("api-deleted", "deleted", "'audience', deleted.audience")})
    ${revoke({ from: "deleted", subject: apiChanged, minimumEpoch: "version + 1" })}`,
  parameters: { audience: text, audit: auditParameter },
  columns: revocationColumns,
});

export const apiStore = (database: Database): ApiStore => ({
  list: (limit, after) => database.read((knex) => listApis.rows(knex, { limit, after: after ?? null })),
  find: (audience) => database.read((knex) => findApi.first(knex, { audience })),
  findContract: (audience) => database.read((knex) => findApiContract.first(knex, { audience })),
  insert({ audience, name, scopes, tokenTtlSeconds: ttl, contract = null }) {
    const api = { audience, name, scopes: JSON.stringify(scopes), ttl, contract, audit: auditContext() };
    return database.write((knex) => insertApi.first(knex, api));
  },
  async update(audience, { name, scopes, tokenTtlSeconds, contract }) {
    const change = {
      audience,
      name: name ?? null,
      scopes: scopes ? JSON.stringify(scopes) : null,
      setsTtl: tokenTtlSeconds !== undefined,
      ttl: tokenTtlSeconds ?? null,
      setsContract: contract !== undefined,
      contract: contract ?? null,
      audit: auditContext(),
    };
    const row: RowOf<typeof updateApi> | undefined = await database.write((knex) => updateApi.first(knex, change));
    if (!row) return undefined;
    const { subject, minimumEpoch, expiresAt, ...api } = row;
    return { api, changed: { subject, minimumEpoch, expiresAt } };
  },
  delete: (audience) => database.write((knex) => deleteApi.first(knex, { audience, audit: auditContext() })),
});
