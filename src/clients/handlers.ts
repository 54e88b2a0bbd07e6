import type { components } from "../../generated/openapi.ts";
import { secondsOf } from "../lib/seconds.ts";
import type { Handler } from "../openapi/binding.ts";
import { clientNetworks } from "../requestContext.ts";
import type { RegisterClient } from "./registration.ts";
import type { ClientAuthenticationMethod, RegisteredClient } from "./storeTypes.ts";

export const registerClient =
  (register: RegisterClient): Handler<"registerClient"> =>
  async ({ body }) => {
    const { client, secret } = await register(body, clientNetworks());
    const secretMembers = secret === undefined ? {} : { client_secret: secret, client_secret_expires_at: 0 as const };
    return { status: 201, body: { ...represent(client), ...secretMembers } };
  };

/** The names of the methods in RFC 7591, section 2. */
export const methodNames = {
  none: "none",
  client_secret: "client_secret_basic",
  private_key_jwt: "private_key_jwt",
} as const satisfies Record<ClientAuthenticationMethod, string>;

/** Uses the names of RFC 7591. Omits what the client does not have. */
function represent(client: RegisteredClient): components["schemas"]["ClientRegistration"] {
  const optional = {
    jwks: client.jwks,
    jwks_uri: client.jwksUri,
    logo_uri: client.logoUri,
    client_uri: client.clientUri,
    policy_uri: client.policyUri,
    tos_uri: client.tosUri,
  };
  return {
    client_id: client.id,
    client_id_issued_at: secondsOf(client.createdAt),
    client_name: client.name,
    redirect_uris: [...client.redirectUris],
    post_logout_redirect_uris: [...client.postLogoutRedirectUris],
    grant_types: [...client.grantTypes],
    response_types: client.grantTypes.includes("authorization_code") ? ["code"] : [],
    token_endpoint_auth_method: methodNames[client.authentication],
    scope: client.scopes.join(" "),
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== null)),
  };
}
