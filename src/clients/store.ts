import { clientId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { recordSecretUses } from "../database/secretUses.ts";
import { type RowOf, statement } from "../database/sql.ts";
import {
  arrayOf,
  boolean,
  bytea,
  integer,
  jsonb,
  narrowed,
  nullable,
  text,
  timestamptz,
} from "../database/sqlTypes.ts";
import { digestBytes, storedDigest } from "../lib/secretText.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import type { DocumentStore } from "./documents.ts";
import type { Client, ClientAuthenticationMethod, ClientDefinition, ClientStore, GrantType } from "./storeTypes.ts";

export const selectedClient = `name, grant_types AS "grantTypes", redirect_uris AS "redirectUris",
  post_logout_redirect_uris AS "postLogoutRedirectUris", scopes, audiences, is_first_party AS "isFirstParty",
  jwks_uri AS "jwksUri", logo_uri AS "logoUri", client_uri AS "clientUri", policy_uri AS "policyUri", tos_uri AS "tosUri",
  id, registration, authentication, jwks,
  document_expires_at AS "documentExpiresAt", version, created_at AS "createdAt", updated_at AS "updatedAt"`;

/** What can be changed. */
export const changeableColumns = {
  name: text,
  grantTypes: arrayOf(narrowed<GrantType>(text)),
  redirectUris: arrayOf(text),
  postLogoutRedirectUris: arrayOf(text),
  scopes: arrayOf(text),
  audiences: arrayOf(text),
  isFirstParty: boolean,
  jwksUri: nullable(text),
  logoUri: nullable(text),
  clientUri: nullable(text),
  policyUri: nullable(text),
  tosUri: nullable(text),
};

export const clientColumns = {
  ...changeableColumns,
  id: clientId,
  registration: narrowed<Client["registration"]>(text),
  authentication: narrowed<ClientAuthenticationMethod>(text),
  jwks: nullable(jsonb<NonNullable<Client["jwks"]>>()),
  documentExpiresAt: nullable(timestamptz),
  version: integer,
  createdAt: timestamptz,
  updatedAt: timestamptz,
};

/** The values of `changeableColumns`, and the keys as JSON. */
export const valuesOf = ({ jwks, ...client }: ClientDefinition) => ({
  name: client.name,
  grantTypes: client.grantTypes,
  redirectUris: client.redirectUris,
  postLogoutRedirectUris: client.postLogoutRedirectUris,
  scopes: client.scopes,
  audiences: client.audiences,
  isFirstParty: client.isFirstParty,
  jwks: jwks && JSON.stringify(jwks),
  jwksUri: client.jwksUri,
  logoUri: client.logoUri,
  clientUri: client.clientUri,
  policyUri: client.policyUri,
  tosUri: client.tosUri,
});

const findClient = statement({
  name: "find-client",
  sql: `SELECT ${selectedClient}, ARRAY(SELECT digest FROM client_secrets WHERE client_id = clients.id) AS "secretDigests"
    FROM clients WHERE id = :id`,
  parameters: { id: clientId },
  columns: { ...clientColumns, secretDigests: arrayOf(bytea) },
});

const recordUses = recordSecretUses("record-client-secret-uses", "client_secrets");

/**
 * An administrator decides whether the client is first-party. A client that loses rights loses its tokens. The version of a client
 * that has not changed remains, so that users can still decide about what they have been shown. The row is locked before it is
 * compared: another instance may read the document at the same time.
 */
const putDocument = statement({
  name: "put-client-document",
  sql: `WITH previous AS MATERIALIZED (
      SELECT scopes, audiences, grant_types, authentication FROM clients WHERE id = :id FOR NO KEY UPDATE
    ), unchanged AS (
      UPDATE clients SET document_expires_at = :expiresAt
      WHERE id = :id AND (authentication, name, grant_types, redirect_uris, post_logout_redirect_uris, scopes, audiences, jwks,
          jwks_uri, logo_uri, client_uri, policy_uri, tos_uri)
        IS NOT DISTINCT FROM (:authentication, :name, :grantTypes, :redirectUris, :postLogoutRedirectUris, :scopes, :audiences,
          :jwks::jsonb, :jwksUri, :logoUri, :clientUri, :policyUri, :tosUri)
        AND (SELECT count(*) FROM previous) >= 0
      RETURNING *
    ), changed AS (
      INSERT INTO clients (id, registration, authentication, name, grant_types, redirect_uris, post_logout_redirect_uris, scopes,
        audiences, is_first_party, jwks, jwks_uri, logo_uri, client_uri, policy_uri, tos_uri, document_expires_at)
      SELECT :id, 'metadata-document', :authentication, :name, :grantTypes, :redirectUris, :postLogoutRedirectUris, :scopes,
        :audiences, :isFirstParty, :jwks::jsonb, :jwksUri, :logoUri, :clientUri, :policyUri, :tosUri, :expiresAt
      WHERE NOT EXISTS (SELECT FROM unchanged)
      ON CONFLICT (id) DO UPDATE
      SET authentication = excluded.authentication, name = excluded.name, grant_types = excluded.grant_types,
        redirect_uris = excluded.redirect_uris, post_logout_redirect_uris = excluded.post_logout_redirect_uris,
        scopes = excluded.scopes, audiences = excluded.audiences, jwks = excluded.jwks, jwks_uri = excluded.jwks_uri,
        logo_uri = excluded.logo_uri, client_uri = excluded.client_uri, policy_uri = excluded.policy_uri,
        tos_uri = excluded.tos_uri, document_expires_at = excluded.document_expires_at, version = DEFAULT, updated_at = now()
      RETURNING *
    ), stored AS (
      SELECT * FROM unchanged UNION ALL SELECT * FROM changed
    ), revoked AS (
      ${revoke({
        from: "stored",
        subject: "'client:' || id",
        minimumEpoch: `CASE WHEN EXISTS (
            SELECT FROM previous WHERE scopes <@ :scopes AND audiences <@ :audiences AND grant_types <@ :grantTypes
              AND authentication = :authentication
          ) THEN 0 ELSE version END`,
      })}
    )
    SELECT ${selectedClient}, revoked.* FROM stored, revoked`,
  parameters: {
    ...changeableColumns,
    id: clientId,
    authentication: narrowed<ClientAuthenticationMethod>(text),
    jwks: nullable(text),
    expiresAt: timestamptz,
  },
  columns: { ...clientColumns, ...revocationColumns },
});

export const documentStore = (database: Database): DocumentStore => ({
  async put(id, definition, expiresAt) {
    const values = { ...valuesOf(definition), id, authentication: definition.authentication, expiresAt };
    const row: RowOf<typeof putDocument> = await database.write((knex) => putDocument.one(knex, values));
    const { subject, minimumEpoch, expiresAt: revokedUntil, ...client } = row;
    return {
      client: { ...client, secretDigests: [] },
      changed: { subject, minimumEpoch, expiresAt: revokedUntil },
    };
  },
});

export const clientStore = (database: Database): ClientStore => ({
  async find(id) {
    const row = await database.read((knex) => findClient.first(knex, { id }));
    return row && toClient(row);
  },

  async recordUses(uses) {
    const values = {
      digests: uses.map(({ digest }) => digestBytes(digest)),
      times: uses.map(({ at }) => at),
      networks: uses.map(({ network }) => network),
    };
    await database.write((knex) => recordUses.count(knex, values));
  },
});

const toClient = ({ secretDigests, ...client }: RowOf<typeof findClient>): Client => ({
  ...client,
  secretDigests: secretDigests.map(storedDigest),
});
