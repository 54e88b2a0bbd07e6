import type { AuditEvent } from "../../audit/audit.ts";
import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { clientId, clientSecretId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { type RowOf, statement } from "../../database/sql.ts";
import {
  arrayOf,
  boolean,
  bytea,
  integer,
  json,
  narrowed,
  nullable,
  text,
  timestamptz,
} from "../../database/sqlTypes.ts";
import type { ClientSecretId } from "../../identifiers.ts";
import { digestBytes } from "../../lib/secretText.ts";
import { clockMarginSeconds } from "../../revocations/revocations.ts";
import { revocationColumns, revoke } from "../../revocations/revoke.ts";
import { maxSecrets } from "../secrets.ts";
import { changeableColumns, clientColumns, selectedClient, valuesOf } from "../store.ts";
import type { ClientAuthenticationMethod, RegisteredClient, Registration } from "../storeTypes.ts";
import type { ClientAdministrationStore } from "./storeTypes.ts";

type StoredSecret = {
  id: ClientSecretId;
  lastFour: string;
  createdAt: string;
  lastUsedAt: string | null;
  lastUsedNetwork: string | null;
};

const selectedWithSecrets = `${selectedClient},
  (SELECT coalesce(json_agg(json_build_object('id', secret.id, 'lastFour', last_four, 'createdAt', secret.created_at,
      'lastUsedAt', last_used_at, 'lastUsedNetwork', last_used_network) ORDER BY secret.id DESC), '[]')
    FROM client_secrets AS secret WHERE client_id = clients.id) AS secrets`;
const columns = { ...clientColumns, secrets: json<StoredSecret[]>() };

const seen = { id: clientId, version: integer };
const clientChanged = "'client:' || id";
/** An entry that revokes no token. It makes every instance read the client again, for which it has to be kept this long. */
const readAgain = {
  subject: clientChanged,
  minimumEpoch: "0",
  expiresAt: `clock_timestamp() + make_interval(secs => ${clockMarginSeconds})`,
};

/** No user is the subject of these events. */
const record = (event: AuditEvent, from: string, details = `'scope', array_to_string(${from}.scopes, ' ')`): string =>
  recordEvent({
    event,
    from,
    subject: "NULL::uuid",
    details: `jsonb_build_object('client_id', ${from}.id, ${details})`,
  });

const listClients = statement({
  name: "list-clients",
  sql: `SELECT ${selectedWithSecrets} FROM clients WHERE :after IS NULL OR id > :after ORDER BY id LIMIT :limit`,
  parameters: { after: nullable(text), limit: integer },
  columns,
});

const findRegisteredClient = statement({
  name: "find-registered-client",
  sql: `SELECT ${selectedWithSecrets} FROM clients WHERE id = :id`,
  parameters: { id: clientId },
  columns,
});

const insertClient = statement({
  name: "insert-client",
  sql: `WITH created AS (
      INSERT INTO clients (id, registration, authentication, name, grant_types, redirect_uris, post_logout_redirect_uris, scopes,
        audiences, is_first_party, jwks, jwks_uri, logo_uri, client_uri, policy_uri, tos_uri)
      VALUES (:id, :registration, :authentication, :name, :grantTypes, :redirectUris, :postLogoutRedirectUris, :scopes,
        :audiences, :isFirstParty, :jwks::jsonb, :jwksUri, :logoUri, :clientUri, :policyUri, :tosUri)
      RETURNING *
    ), secret AS (
      INSERT INTO client_secrets (id, client_id, digest, last_four)
      SELECT :secretId, id, :digest, :lastFour FROM created WHERE :digest IS NOT NULL
    ), audited AS (${record("client-created", "created")})
    SELECT version, created_at AS "createdAt" FROM created`,
  parameters: {
    ...changeableColumns,
    id: clientId,
    registration: narrowed<Registration>(text),
    authentication: narrowed<ClientAuthenticationMethod>(text),
    jwks: nullable(text),
    secretId: nullable(clientSecretId),
    digest: nullable(bytea),
    lastFour: nullable(text),
    audit: auditParameter,
  },
  columns: { version: integer, createdAt: timestamptz },
});

const replaceClient = statement({
  name: "replace-client",
  sql: `WITH changed AS (
      UPDATE clients
      SET name = :name, grant_types = :grantTypes, redirect_uris = :redirectUris,
        post_logout_redirect_uris = :postLogoutRedirectUris, scopes = :scopes, audiences = :audiences,
        is_first_party = :isFirstParty, jwks = :jwks::jsonb, jwks_uri = :jwksUri, logo_uri = :logoUri,
        client_uri = :clientUri, policy_uri = :policyUri, tos_uri = :tosUri, version = DEFAULT, updated_at = now()
      WHERE id = :id AND version = :version
      RETURNING id, version, scopes
    ), audited AS (${record("client-changed", "changed")})
    ${revoke({ from: "changed", subject: clientChanged, minimumEpoch: "CASE WHEN :revokesTokens THEN version ELSE 0 END" })}`,
  parameters: { ...seen, ...changeableColumns, jwks: nullable(text), revokesTokens: boolean, audit: auditParameter },
  columns: revocationColumns,
});

const deleteClient = statement({
  name: "delete-client",
  sql: `WITH deleted AS (DELETE FROM clients WHERE id = :id AND version = :version RETURNING id, version, scopes),
      audited AS (${record("client-deleted", "deleted")})
    ${revoke({ from: "deleted", subject: clientChanged, minimumEpoch: "version + 1" })}`,
  parameters: { ...seen, audit: auditParameter },
  columns: revocationColumns,
});

/** The next statement of the transaction sees the secrets that others have committed. */
const lockClient = statement({
  name: "lock-client",
  sql: "SELECT FROM clients WHERE id = :id AND version = :version FOR NO KEY UPDATE",
  parameters: seen,
});

const insertClientSecret = statement({
  name: "insert-client-secret",
  sql: `WITH created AS (
      INSERT INTO client_secrets (id, client_id, digest, last_four)
      SELECT :secretId, :id, :digest, :lastFour
      WHERE (SELECT count(*) FROM client_secrets WHERE client_id = :id) < ${maxSecrets}
      RETURNING client_id AS id, id AS secret_id, created_at
    ), audited AS (${record("client-secret-created", "created", "'client_secret_id', created.secret_id")}),
    revoked AS (${revoke({ from: "created", ...readAgain })})
    SELECT created_at AS "createdAt", revoked.* FROM created, revoked`,
  parameters: { id: clientId, secretId: clientSecretId, digest: bytea, lastFour: text, audit: auditParameter },
  columns: { createdAt: timestamptz, ...revocationColumns },
});

const deleteClientSecret = statement({
  name: "delete-client-secret",
  sql: `WITH deleted AS (
      DELETE FROM client_secrets AS secret USING clients
      WHERE secret.id = :secretId AND client_id = :id AND clients.id = :id AND version = :version
      RETURNING client_id AS id, secret.id AS secret_id
    ), audited AS (${record("client-secret-deleted", "deleted", "'client_secret_id', deleted.secret_id")})
    ${revoke({ from: "deleted", ...readAgain })}`,
  parameters: { ...seen, secretId: clientSecretId, audit: auditParameter },
  columns: revocationColumns,
});

const findAudiences = statement({
  name: "find-audiences",
  sql: "SELECT audience FROM apis WHERE audience = ANY(:audiences)",
  parameters: { audiences: arrayOf(text) },
  columns: { audience: text },
});

export function clientAdministrationStore(database: Database): ClientAdministrationStore {
  return {
    list: async (limit, after) =>
      (await database.read((knex) => listClients.rows(knex, { limit, after: after ?? null }))).map(toClient),

    async find(id) {
      const row = await database.read((knex) => findRegisteredClient.first(knex, { id }));
      return row && toClient(row);
    },

    async insert(client, secret) {
      const { id: secretId = null, digest, lastFour = null } = secret ?? {};
      const values = {
        ...valuesOf(client),
        id: client.id,
        registration: client.registration,
        authentication: client.authentication,
        secretId,
        digest: digest === undefined ? null : digestBytes(digest),
        lastFour,
        audit: auditContext(),
      };
      const { version, createdAt } = await database.write((knex) => insertClient.one(knex, values));
      const secrets = secret ? [unused(secret, createdAt)] : [];
      return { ...client, documentExpiresAt: null, version, createdAt, updatedAt: createdAt, secrets };
    },

    replace: ({ id, version }, next, revokesTokens) =>
      database.write((knex) =>
        replaceClient.first(knex, { ...valuesOf(next), id, version, revokesTokens, audit: auditContext() }),
      ),

    delete: ({ id, version }) =>
      database.write((knex) => deleteClient.first(knex, { id, version, audit: auditContext() })),

    insertSecret: ({ id, version }, secret) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockClient.count(transaction, { id, version })) === 0) return undefined;
          const { id: secretId, digest, lastFour } = secret;
          const values = { id, secretId, digest: digestBytes(digest), lastFour, audit: auditContext() };
          const row = await insertClientSecret.first(transaction, values);
          if (!row) return "too-many" as const;
          const { createdAt, ...changed } = row;
          return { secret: unused(secret, createdAt), changed };
        }),
      ),

    deleteSecret: ({ id, version }, secretId) =>
      database.write((knex) => deleteClientSecret.first(knex, { id, version, secretId, audit: auditContext() })),

    findAudiences: async (audiences) =>
      (await database.read((knex) => findAudiences.rows(knex, { audiences }))).map(({ audience }) => audience),
  };
}

const unused = ({ id, lastFour }: { id: ClientSecretId; lastFour: string }, createdAt: Date) => ({
  id,
  lastFour,
  createdAt,
  lastUsedAt: null,
  lastUsedNetwork: null,
});

const toClient = ({ secrets, ...client }: RowOf<typeof findRegisteredClient>): RegisteredClient => ({
  ...client,
  secrets: secrets.map(({ createdAt, lastUsedAt, ...secret }) => ({
    ...secret,
    createdAt: new Date(createdAt),
    lastUsedAt: lastUsedAt === null ? null : new Date(lastUsedAt),
  })),
});
