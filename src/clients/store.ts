import { clientId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, boolean, integer, jsonb, narrowed, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import type { Client, ClientAuthenticationMethod, ClientStore, GrantType } from "./storeTypes.ts";

const selectedClient = `id, name, registration, authentication, grant_types AS "grantTypes", redirect_uris AS "redirectUris",
  post_logout_redirect_uris AS "postLogoutRedirectUris", scopes, audiences, is_first_party AS "isFirstParty", jwks,
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

export const clientStore = (database: Database): ClientStore => ({
  find: (id) => database.read((knex) => findClient.first(knex, { id })),
});
