/**
 * Authenticates requests. Only the `security` that the contract declares for an operation decides who may call it. If it is not
 * met, the response is a problem with the challenges of the operation.
 */
import type { PasswordPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { hasTokenShape, parseAuthorization } from "./authorizationHeader.ts";
import type { Scheme } from "./binding.ts";
import type { Operation } from "./contract.ts";

/** Verifies credentials. For a token that was verified before, the result is not a promise. */
export type Authenticator = {
  /** @throws {Problem} `invalid-credentials`, `too-many-requests` */
  password(username: string, password: string): Promise<PasswordPrincipal>;
  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked` */
  token(token: string): TokenPrincipal | Promise<TokenPrincipal>;
};

/**
 * Authenticates a request for an operation. If `bearerAuth` is declared, a token is also accepted in place of the Basic
 * username, with any password. If `basicAuth` is declared alone, only a password is accepted.
 * @returns `undefined` for an open operation, whose credentials are ignored
 * @throws {Problem} a 401, or `invalid-request` for a malformed header
 */
export function authenticate(
  { schemes }: Operation,
  authorization: string | undefined,
  authenticator: Authenticator,
): Principal | undefined | Promise<Principal> {
  if (schemes.length === 0) return undefined;
  const credentials = parseAuthorization(authorization);
  const acceptsToken = schemes.includes("bearerAuth");
  const acceptsPassword = schemes.includes("basicAuth");

  if (credentials?.scheme === "bearer" && acceptsToken) return authenticator.token(credentials.token);
  if (credentials?.scheme === "basic") {
    const { username, password } = credentials;
    if (hasTokenShape(username) && acceptsToken) return authenticator.token(username);
    if (hasTokenShape(username)) throw new Problem("invalid-credentials", { detail: passwordRequired });
    if (acceptsPassword) return authenticator.password(username, password);
  }
  throw new Problem("authentication-required");
}

const passwordRequired = "This operation requires the username and the password. A token is not enough.";

/**
 * The challenges of a 401 (RFC 9110, section 11.6.1): one for each scheme of the operation. Scripts in a browser get no Basic
 * challenge, because the browser would open its login dialog over the page. If no challenge would be left, they get one of
 * a scheme that browsers do not know, because a 401 must have a challenge.
 * @param problem names the reason in the Bearer challenge, if it was the token (RFC 6750, section 3.1)
 * @param destination `Sec-Fetch-Dest` of the request (W3C Fetch Metadata); `undefined` from curl and from old browsers
 */
export function challenges({ schemes }: Operation, { slug }: Problem, destination: string | undefined): string[] {
  const description = tokenProblems[slug as keyof typeof tokenProblems];
  // An operation without security can reject a token in the body, as a refresh does.
  const offered: readonly Scheme[] = schemes.length > 0 ? schemes : ["bearerAuth"];
  const bearer = `Bearer realm="latchkey"${description ? `, error="invalid_token", error_description="${description}"` : ""}`;
  if (destination === undefined || destination === "document") {
    return offered.map((scheme) => (scheme === "basicAuth" ? 'Basic realm="latchkey", charset="UTF-8"' : bearer));
  }
  return [offered.includes("bearerAuth") ? bearer : 'Password realm="latchkey"'];
}

const tokenProblems = {
  "invalid-token": "The token is not valid",
  "token-expired": "The token has expired",
  "token-revoked": "The token has been revoked",
  "token-reused": "The token was used before",
};
