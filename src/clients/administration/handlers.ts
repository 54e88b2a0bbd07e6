import type { components } from "../../../generated/openapi.ts";
import { clientId, clientSecretId } from "../../identifiers.ts";
import type { Handler } from "../../openapi/binding.ts";
import { invalidRequest } from "../../problems/problems.ts";
import { methodNames } from "../handlers.ts";
import type { ClientAuthenticationMethod, ClientDefinition, ClientSecret, RegisteredClient } from "../storeTypes.ts";
import type { ClientAdministration, ClientChange } from "./administration.ts";

type ClientBody = components["schemas"]["Client"];
type ChangeBody = components["schemas"]["ClientChange"];

const defaultLimit = 20;

export const listClients =
  (clients: ClientAdministration): Handler<"listClients"> =>
  async ({ query }) => {
    const page = await clients.list(query?.limit ?? defaultLimit, query?.after);
    return { status: 200, body: { clients: page.items.map(representClient), next: page.next ?? null } };
  };

/** @param publicUrl the prefix of the `Location` header; empty for a path on this host */
export const createClient =
  (clients: ClientAdministration, publicUrl = ""): Handler<"createClient"> =>
  async ({ principal, body }) => {
    const { client, secret } = await clients.create(principal, definitionIn(body));
    return {
      status: 201,
      headers: { Location: `${publicUrl}/api/clients/${client.id}` },
      body: { ...representClient(client), ...(secret !== undefined && { client_secret: secret }) },
    };
  };

export const getClient =
  (clients: ClientAdministration): Handler<"getClient"> =>
  async ({ path }) =>
    reply(await clients.find(clientId(path.client_id)));

export const updateClient =
  (clients: ClientAdministration): Handler<"updateClient"> =>
  async ({ principal, path, header, body }) => {
    const isExpected = etagCheck(header["If-Match"]);
    return reply(await clients.update(principal, clientId(path.client_id), { change: changeIn(body), isExpected }));
  };

export const deleteClient =
  (clients: ClientAdministration): Handler<"deleteClient"> =>
  async ({ principal, path, header }) => {
    await clients.remove(principal, clientId(path.client_id), etagCheck(header["If-Match"]));
    return { status: 204 };
  };

export const createClientSecret =
  (clients: ClientAdministration): Handler<"createClientSecret"> =>
  async ({ principal, path }) => {
    const { text, ...secret } = await clients.addSecret(principal, clientId(path.client_id));
    return { status: 201, body: { ...representSecret(secret), client_secret: text } };
  };

export const deleteClientSecret =
  (clients: ClientAdministration): Handler<"deleteClientSecret"> =>
  async ({ principal, path }) => {
    await clients.removeSecret(principal, clientId(path.client_id), clientSecretId(path.secret_id.toLowerCase()));
    return { status: 204 };
  };

const reply = (client: RegisteredClient) => ({
  status: 200 as const,
  headers: { ETag: etagOf(client) },
  body: representClient(client),
});

const etagOf = ({ version }: RegisteredClient): string => `"${version}"`;

/**
 * Whether `If-Match` has the client's ETag (RFC 9110, section 13.1.1). A weak ETag does not match.
 * @param ifMatch `*`, or a list of ETags
 */
function etagCheck(ifMatch: string | undefined): (client: RegisteredClient) => boolean {
  if (ifMatch === undefined || ifMatch.trim() === "*") return () => true;
  const etags = ifMatch.split(",").map((etag) => etag.trim());
  return (client) => etags.includes(etagOf(client));
}

/** The members that a definition need not contain. */
const defaults = {
  redirectUris: [],
  postLogoutRedirectUris: [],
  scopes: [],
  audiences: [],
  isFirstParty: false,
  jwks: null,
  jwksUri: null,
  logoUri: null,
  clientUri: null,
  policyUri: null,
  tosUri: null,
};

/** @throws {Problem} `invalid-request` for a contradiction */
export const definitionIn = (body: components["schemas"]["NewClient"]): ClientDefinition => ({
  ...defaults,
  ...changeIn(body),
  name: body.name,
  grantTypes: body.grant_types,
  authentication: authenticationIn(body),
});

/** The members that the body contains. */
export function changeIn(body: ChangeBody): ClientChange {
  const members = {
    name: body.name,
    grantTypes: body.grant_types,
    redirectUris: body.redirect_uris,
    postLogoutRedirectUris: body.post_logout_redirect_uris,
    scopes: body.scopes,
    audiences: body.audiences,
    isFirstParty: body.first_party,
    jwks: body.jwks,
    jwksUri: body.jwks_uri,
    logoUri: body.logo_uri,
    clientUri: body.client_uri,
    policyUri: body.policy_uri,
    tosUri: body.tos_uri,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

const methods = { none: "none", client_secret_basic: "client_secret", private_key_jwt: "private_key_jwt" } as const;

function authenticationIn({
  public: isPublic,
  token_endpoint_auth_method: method,
}: components["schemas"]["NewClient"]): ClientAuthenticationMethod {
  const isNone = method === undefined ? isPublic === true : method === "none";
  if (isPublic !== undefined && isPublic !== isNone)
    throw invalidRequest({ pointer: "#/public", detail: "contradicts token_endpoint_auth_method" });
  return isNone ? "none" : methods[method ?? "client_secret_basic"];
}

export const representClient = (client: RegisteredClient): ClientBody => ({
  client_id: client.id,
  name: client.name,
  public: client.authentication === "none",
  token_endpoint_auth_method: methodNames[client.authentication],
  registration: client.registration,
  grant_types: [...client.grantTypes],
  redirect_uris: [...client.redirectUris],
  post_logout_redirect_uris: [...client.postLogoutRedirectUris],
  scopes: [...client.scopes],
  audiences: [...client.audiences],
  first_party: client.isFirstParty,
  jwks: client.jwks as ClientBody["jwks"],
  jwks_uri: client.jwksUri,
  logo_uri: client.logoUri,
  client_uri: client.clientUri,
  policy_uri: client.policyUri,
  tos_uri: client.tosUri,
  secrets: client.secrets.map(representSecret),
  created_at: client.createdAt.toISOString(),
  updated_at: client.updatedAt.toISOString(),
});

export const representSecret = (secret: ClientSecret): components["schemas"]["ClientSecret"] => ({
  id: secret.id,
  last_four: secret.lastFour,
  created_at: secret.createdAt.toISOString(),
  last_used_at: secret.lastUsedAt?.toISOString() ?? null,
  last_used_network: secret.lastUsedNetwork,
});
