/** The columns of a client, for its stores. */
import { clientId } from "../database/columns.ts";
import { arrayOf, boolean, integer, jsonb, narrowed, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import type { Client, ClientAuthenticationMethod, ClientDefinition, GrantType } from "./storeTypes.ts";

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
