/**
 * Who may call an operation: derived from the `security` that the contract declares for it, and
 * nothing else. A requirement that is not met is a problem with the challenges of that operation.
 */
import type { PasswordPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { hasTokenShape, parseAuthorization } from "./authorizationHeader.ts";
import type { Scheme } from "./binding.ts";
import type { Operation } from "./contract.ts";

/** How credentials are checked. Both throw the problem that says why they are not accepted. */
export type Authenticator = {
  /** @throws {Problem} `invalid-credentials`, `too-many-requests` */
  password(username: string, password: string): Promise<PasswordPrincipal>;
  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked` */
  token(token: string): Promise<TokenPrincipal>;
};

/**
 * Authenticates a request for an operation. Where `bearerAuth` is declared, a token may also stand
 * in place of the Basic username, with any password; where `basicAuth` stands alone, only the
 * password itself counts.
 * @returns `undefined` for an open operation, which does not look at credentials.
 * @throws {Problem} a 401, or `invalid-request` for a malformed header.
 */
export async function authenticate(
  { schemes }: Operation,
  authorization: string | undefined,
  authenticator: Authenticator,
): Promise<Principal | undefined> {
  if (schemes.length === 0) return undefined;
  const credentials = parseAuthorization(authorization);
  const takes = (scheme: Scheme) => schemes.includes(scheme);
  if (credentials?.scheme === "bearer" && takes("bearerAuth")) {
    return authenticator.token(credentials.token);
  }
  if (credentials?.scheme === "basic" && hasTokenShape(credentials.username)) {
    if (takes("bearerAuth")) return authenticator.token(credentials.username);
    throw new Problem("invalid-credentials", {
      detail: "This operation needs the username and the password; a token is not enough.",
    });
  }
  if (credentials?.scheme === "basic" && takes("basicAuth")) {
    return authenticator.password(credentials.username, credentials.password);
  }
  throw new Problem("authentication-required");
}

/**
 * The challenges of a 401, one for each scheme of the operation (RFC 9110, section 11.6.1). For what a page requests, the
 * Basic challenge is left out, since the browser would open its login dialog over the page and let the script wait for it.
 * Where no other is left, a scheme that browsers do not know takes its place: a 401 must have a challenge.
 * @param problem tells the Bearer challenge whether a token was the reason (RFC 6750, section 3.1).
 * @param destination the request's Sec-Fetch-Dest (W3C Fetch Metadata); `undefined` from curl, and from old browsers
 */
export function challenges({ schemes }: Operation, { slug }: Problem, destination: string | undefined): string[] {
  const description = tokenProblems[slug as keyof typeof tokenProblems];
  // An open operation that refuses a token takes it in its body; a 401 has a challenge all the same.
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
