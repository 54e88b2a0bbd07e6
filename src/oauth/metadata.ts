/**
 * The metadata of the authorization server (RFC 8414), with the members of OpenID Connect Discovery, and of the APIs that it issues
 * tokens for (RFC 9728).
 */
import type { components } from "../../generated/openapi.ts";
import { allOwnScopes, openIdScopes } from "../access/scopes.ts";
import { assertionAlgorithms } from "../clients/assertions.ts";
import { dpopAlgorithms } from "../openapi/guard.ts";
import type { SigningKeys } from "../tokens/signingKeys.ts";
import { promptValues } from "./authorization/request.ts";
import { idTokenClaims } from "./idTokens.ts";

export type MetadataParts = {
  issuer: string;
  keys: Pick<SigningKeys, "jwks">;
  hasClientDocuments: boolean;
  hasClientRegistration: boolean;
  /** Those of the token endpoint. */
  grantTypes: readonly string[];
  /** Whether the service has documentation. */
  hasDocumentation: boolean;
};

const confidentialMethods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/** Lists only what is true: clients configure themselves by it. */
export const serverMetadata = (parts: MetadataParts): components["schemas"]["ServerMetadata"] => ({
  issuer: parts.issuer,
  authorization_endpoint: `${parts.issuer}/oauth/authorize`,
  authorization_response_iss_parameter_supported: true,
  code_challenge_methods_supported: ["S256"],
  response_modes_supported: ["query"],
  prompt_values_supported: [...promptValues],
  jwks_uri: `${parts.issuer}/.well-known/jwks.json`,
  introspection_endpoint: `${parts.issuer}/oauth/introspect`,
  introspection_endpoint_auth_methods_supported: [...confidentialMethods, "Bearer"],
  introspection_endpoint_auth_signing_alg_values_supported: [...assertionAlgorithms],
  revocation_endpoint: `${parts.issuer}/oauth/revoke`,
  revocation_endpoint_auth_methods_supported: [...confidentialMethods, "none"],
  revocation_endpoint_auth_signing_alg_values_supported: [...assertionAlgorithms],
  device_authorization_endpoint: `${parts.issuer}/oauth/device-authorization`,
  end_session_endpoint: `${parts.issuer}/oauth/sign-out`,
  userinfo_endpoint: `${parts.issuer}/oauth/userinfo`,
  scopes_supported: [...allOwnScopes, ...openIdScopes],
  response_types_supported: ["code"],
  grant_types_supported: [...parts.grantTypes],
  token_endpoint: `${parts.issuer}/oauth/token`,
  token_endpoint_auth_methods_supported: [...confidentialMethods, "none"],
  token_endpoint_auth_signing_alg_values_supported: [...assertionAlgorithms],
  dpop_signing_alg_values_supported: [...dpopAlgorithms],
  subject_types_supported: ["public"],
  // While the algorithm changes, the keys of both are published.
  id_token_signing_alg_values_supported: [...new Set(parts.keys.jwks().keys.map(({ alg }) => alg))],
  claims_supported: [...idTokenClaims],
  claims_parameter_supported: false,
  request_parameter_supported: false,
  // The default is true (OpenID Connect Discovery, section 3).
  request_uri_parameter_supported: false,
  ...(parts.hasClientRegistration && { registration_endpoint: `${parts.issuer}/oauth/register` }),
  ...(parts.hasClientDocuments && { client_id_metadata_document_supported: true }),
  ...(parts.hasDocumentation && { service_documentation: `${parts.issuer}/docs` }),
});

/** @param resource the audience of the API */
export const resourceMetadata = (
  issuer: string,
  resource: string,
  scopes: string[],
): components["schemas"]["ResourceMetadata"] => ({
  resource,
  authorization_servers: [issuer],
  scopes_supported: scopes,
  bearer_methods_supported: ["header"],
});
