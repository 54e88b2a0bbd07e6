/** The grants of the token endpoint: each turns what a client has into tokens (RFC 6749, section 1.3). */
import type { components } from "../../../generated/openapi.ts";
import { isOpenIdScope } from "../../access/scopes.ts";
import type { Client } from "../../clients/storeTypes.ts";
import { invalidRequest, Problem } from "../../problems/problems.ts";

export type TokenParameters = components["schemas"]["TokenRequest"];

/** What a client receives. */
export type IssuedTokens = {
  accessToken: string;
  expiresInSeconds: number;
  /** What the client may do now, with the granted scopes of OpenID Connect. */
  scopes: readonly string[];
  refreshToken?: string | undefined;
  idToken?: string | undefined;
};

/**
 * @param client authenticated, and registered for the grant
 * @param proofKey the thumbprint of the key that the client has proved to have, to which the tokens are bound (RFC 9449)
 * @throws {Problem} a 400
 */
export type GrantHandler = (
  client: Client,
  parameters: TokenParameters,
  proofKey: string | undefined,
) => IssuedTokens | Promise<IssuedTokens>;

/** @throws {Problem} `invalid-request` if a parameter is absent */
export function requireParameter(
  parameters: TokenParameters,
  name: "code" | "code_verifier" | "refresh_token" | "device_code",
): string {
  const value = parameters[name];
  if (value === undefined) throw invalidRequest({ parameter: name, detail: "is required for this grant" });
  return value;
}

/**
 * @param granted what was granted
 * @param held what the access token contains: what the user has of it, without the scopes of OpenID Connect if it is for an API
 */
export const scopesOfResponse = (granted: readonly string[], held: readonly string[]): readonly string[] =>
  granted.filter((scope) => isOpenIdScope(scope) || held.includes(scope));

/** What was presented is not valid. The response does not say why. */
export const invalidGrant = (cause?: unknown): Problem => new Problem("invalid-grant", { cause });
