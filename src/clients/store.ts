import { clientId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
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
import type { Client, ClientAuthenticationMethod, ClientStore, GrantType } from "./storeTypes.ts";

const selectedClient = `id, name, registration, authentication, grant_types AS "grantTypes", redirect_uris AS "redirectUris",
  post_logout_redirect_uris AS "postLogoutRedirectUris", scopes, audiences, is_first_party AS "isFirstParty", jwks,
  ARRAY(SELECT digest FROM client_secrets WHERE client_id = clients.id) AS "secretDigests",
  jwks_uri AS "jwksUri", logo_uri AS "logoUri", client_uri AS "clientUri", policy_uri AS "policyUri", tos_uri AS "tosUri",
  version, created_at AS "createdAt", updated_at AS "updatedAt"`;

const clientColumns = {
  id: clientId,
  name: text,
  registration: narrowed<Client["registration"]>(text),
  authentication: narrowed<ClientAuthenticationMethod>(text),
  grantTypes: arrayOf(narrowed<GrantType>(text)),
  redirectUris: arrayOf(text),
  postLogoutRedirectUris: arrayOf(text),
  scopes: arrayOf(text),
  audiences: arrayOf(text),
  isFirstParty: boolean,
  secretDigests: arrayOf(bytea),
  jwks: nullable(jsonb<NonNullable<Client["jwks"]>>()),
  jwksUri: nullable(text),
  logoUri: nullable(text),
  clientUri: nullable(text),
  policyUri: nullable(text),
  tosUri: nullable(text),
  version: integer,
  createdAt: timestamptz,
  updatedAt: timestamptz,
};

const findClient = statement({
  name: "find-client",
  sql: `SELECT ${selectedClient} FROM clients WHERE id = :id`,
  parameters: { id: clientId },
  columns: clientColumns,
});

/** A locked secret is being deleted, or recorded by another instance. Its use is recorded a minute later. */
const recordUses = statement({
  name: "record-client-secret-uses",
  sql: `UPDATE client_secrets AS secret SET last_used_at = used_at, last_used_network = used_network
    FROM (
      SELECT digest, used_at, used_network
      FROM client_secrets JOIN unnest(:digests, :times, :networks) AS uses (used, used_at, used_network) ON digest = used
      WHERE last_used_at IS NULL OR last_used_at < used_at
      FOR NO KEY UPDATE OF client_secrets SKIP LOCKED
    ) AS uses
    WHERE secret.digest = uses.digest`,
  parameters: { digests: arrayOf(bytea), times: arrayOf(timestamptz), networks: arrayOf(nullable(text)) },
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
