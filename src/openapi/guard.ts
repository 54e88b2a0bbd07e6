/**
 * Authenticates and authorizes requests. Only the `security` that the contract declares for an operation decides who may call it.
 * If it is not met, the response is a problem with the challenges of the operation.
 */
import { follow } from "../lib/follow.ts";
import type { ApiKeyPrincipal, ClientPrincipal, PasswordPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import { bearerIn, type Credentials, hasApiKeyShape, parseAuthorization } from "./authorizationHeader.ts";
import type { Scheme } from "./binding.ts";
import type { Operation } from "./contract.ts";

/** Verifies credentials. What is known already is returned without a promise. */
export type CredentialVerifiers<Token> = {
  /** @throws {Problem} `invalid-credentials`, `too-many-requests` */
  password(username: string, password: string): Promise<PasswordPrincipal>;
  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked` */
  token(token: string): Token | ClientPrincipal | Promise<Token | ClientPrincipal>;
  /**
   * Verifies a token that is bound to a key, with the DPoP proof of the request. If it is absent, the scheme `DPoP` is not accepted.
   * @throws {Problem} as `token`, `dpop-proof-refused`
   */
  boundToken?(token: string): Promise<Token | ClientPrincipal>;
  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked` */
  apiKey(key: string): ApiKeyPrincipal | Promise<ApiKeyPrincipal>;
};

/** Verifies credentials and rights. */
export type Authenticator = CredentialVerifiers<TokenPrincipal> & {
  /** @returns those of the scopes that the user or the credential does not have */
  missingScopes(principal: Principal, scopes: readonly string[]): readonly string[] | Promise<readonly string[]>;
  /** Reports a principal without these scopes. @throws {Problem} `insufficient-scope` */
  refuse(principal: Principal, missing: readonly string[]): never;
};

/**
 * Authenticates a request for an operation, and requires its scopes. If `bearerAuth` or `apiKeyAuth` is declared, a token or an
 * API key is also accepted in place of the Basic username, with any password, and an API key in place of the password. If
 * `basicAuth` is declared alone, only a password is accepted.
 * @returns `undefined` for an open operation, whose credentials are ignored, and if credentials are optional and absent, not valid
 * or without the scopes
 * @throws {Problem} a 401, `insufficient-scope`, or `invalid-request` for a malformed header
 */
export function authorize(
  operation: Operation,
  authorization: string | undefined,
  authenticator: Authenticator,
): Principal | undefined | Promise<Principal | undefined> {
  const { schemes, isOptional } = operation;
  if (schemes.length === 0 || (isOptional && authorization === undefined)) return undefined;
  if (isOptional) return authorizeIfPossible(operation, authorization, authenticator);
  return requireAuthorization(operation, authorization, authenticator);
}

/** Credentials that are not valid are like none: a client may send those of a user who is about to register. */
async function authorizeIfPossible(
  operation: Operation,
  authorization: string | undefined,
  authenticator: Authenticator,
): Promise<Principal | undefined> {
  try {
    return await requireAuthorization(operation, authorization, authenticator);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    requestContext().refusal = error;
    return undefined;
  }
}

function requireAuthorization(
  operation: Operation,
  authorization: string | undefined,
  authenticator: Authenticator,
): Principal | undefined | Promise<Principal | undefined> {
  const { schemes, scopes } = operation;
  const authenticated = authenticate(schemes, parseAuthorization(authorization), authenticator);
  if (scopes.length === 0) return authenticated;
  return authenticated instanceof Promise
    ? authenticated.then((principal) => withScopes(operation, principal, authenticator))
    : withScopes(operation, authenticated, authenticator);
}

function withScopes(
  { scopes, isOptional }: Operation,
  principal: Principal,
  authenticator: Authenticator,
): Principal | undefined | Promise<Principal | undefined> {
  const decide = (missing: readonly string[]): Principal | undefined => {
    if (missing.length === 0) return principal;
    if (!isOptional) return authenticator.refuse(principal, missing);
    requestContext().withoutScopes = principal;
    return undefined;
  };
  const missing = authenticator.missingScopes(principal, scopes);
  return missing instanceof Promise ? missing.then(decide) : decide(missing);
}

/** Verifies credentials, if one of the schemes accepts them. @throws {Problem} a 401 */
export function authenticate<Token extends { proof: string }>(
  schemes: readonly Scheme[],
  credentials: Credentials | undefined,
  verifiers: CredentialVerifiers<Token>,
): Authenticated<Token> {
  if (credentials?.scheme === "bearer" && acceptsBearer(schemes)) {
    return verifyBearer(schemes, credentials.token, verifiers);
  }
  if (credentials?.scheme === "dpop" && acceptsToken(schemes) && verifiers.boundToken) {
    return verifiers.boundToken(credentials.token).then((principal) => requireKind(schemes, principal));
  }
  if (credentials?.scheme === "basic") {
    const bearer = bearerIn(credentials, schemes.includes("apiKeyAuth"));
    if (bearer !== undefined) return verifyBearer(schemes, bearer, verifiers);
    if (schemes.includes("basicAuth")) return verifiers.password(credentials.username, credentials.password);
  }
  const isUnusable = credentials?.scheme === "dpop" && !verifiers.boundToken;
  throw new Problem("authentication-required", isUnusable ? { detail: acceptsNoProofs } : {});
}

/** For the detail of a problem. */
export const acceptsNoProofs =
  "This operation accepts no DPoP proofs, so a token that is bound to a key cannot be used here.";

type Authenticated<Token> = CredentialPrincipal<Token> | Promise<CredentialPrincipal<Token>>;
type CredentialPrincipal<Token> = PasswordPrincipal | Token | ApiKeyPrincipal | ClientPrincipal;

const acceptsToken = (schemes: readonly Scheme[]) => schemes.includes("bearerAuth") || schemes.includes("clientAuth");
const acceptsBearer = (schemes: readonly Scheme[]) => acceptsToken(schemes) || schemes.includes("apiKeyAuth");

/** Verifies a token or an API key, if the operation accepts it. */
function verifyBearer<Token extends { proof: string }>(
  schemes: readonly Scheme[],
  credential: string,
  verifiers: CredentialVerifiers<Token>,
): Authenticated<Token> {
  const isApiKey = hasApiKeyShape(credential);
  if (isApiKey) {
    return schemes.includes("apiKeyAuth") ? verifiers.apiKey(credential) : refuseKind(schemes, "apiKey");
  }
  if (!acceptsToken(schemes)) return refuseKind(schemes, "token");
  return follow(verifiers.token(credential), (principal) => requireKind(schemes, principal));
}

/** A token of a user, or of a client that acts for itself. */
function requireKind<Token extends { proof: string }>(schemes: readonly Scheme[], principal: Token): Token {
  const scheme = principal.proof === "client-token" ? "clientAuth" : "bearerAuth";
  return schemes.includes(scheme) ? principal : refuseKind(schemes, scheme === "clientAuth" ? "clientToken" : "token");
}

function refuseKind(schemes: readonly Scheme[], kind: keyof typeof refusals): never {
  // Without basicAuth, the operation does not declare invalid-credentials.
  const problem = schemes.includes("basicAuth") ? "invalid-credentials" : "invalid-token";
  throw new Problem(problem, { detail: refusals[kind] });
}

const refusals = {
  token: "This operation requires the username and the password. A token is not enough.",
  apiKey: "This operation does not accept an API key.",
  clientToken: "This operation requires a user. The token of a client is not enough.",
};

/**
 * The challenges of a 401 (RFC 9110, section 11.6.1): one for each accepted scheme. Scripts in a browser get no Basic
 * challenge, because the browser would open its login dialog over the page. If no challenge would be left, they get one of
 * a scheme that browsers do not know, because a 401 must have a challenge.
 * @param problem names the reason in the Bearer challenge, if it was the token (RFC 6750, section 3.1)
 * @param destination `Sec-Fetch-Dest` of the request (W3C Fetch Metadata); `undefined` from curl and from old browsers
 */
export function challenges(schemes: readonly Scheme[], { slug }: Problem, destination: string | undefined): string[] {
  if (slug === "dpop-proof-refused") {
    return [`DPoP realm="latchkey", error="invalid_dpop_proof", algs="${dpopAlgorithms.join(" ")}"`];
  }
  const description = tokenProblems[slug as keyof typeof tokenProblems];
  const offersBasic = schemes.includes("basicAuth");
  // An operation without security can reject a token in the body, as a refresh does.
  const offersBearer = acceptsBearer(schemes) || schemes.length === 0;
  const bearer = `Bearer realm="latchkey"${description ? `, error="invalid_token", error_description="${description}"` : ""}`;
  if (destination === undefined || destination === "document") {
    return [...(offersBasic ? ['Basic realm="latchkey", charset="UTF-8"'] : []), ...(offersBearer ? [bearer] : [])];
  }
  return [offersBearer ? bearer : 'Password realm="latchkey"'];
}

/** The algorithms of DPoP proofs. `Ed25519` is the name in RFC 9864 of what others call `EdDSA`. */
export const dpopAlgorithms = ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"] as const;

/** The challenge of a 403 for missing scopes (RFC 6750, section 3.1). */
export const scopeChallenge = (scope: string): string =>
  `Bearer realm="latchkey", error="insufficient_scope", scope="${scope}"`;

const tokenProblems = {
  "invalid-token": "The token is not valid",
  "token-expired": "The token has expired",
  "token-revoked": "The token has been revoked",
  "token-reused": "The token was used before",
};
