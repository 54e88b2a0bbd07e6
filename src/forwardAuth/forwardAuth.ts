/**
 * Decides for a proxy whether a request may pass, and whose it is. Without the audience of an API, the request needs a credential
 * for this service. With one, it needs what the API demands: the scopes that the proxy names, and the `security` of its contract.
 */
import {
  type Alternatives,
  type Contract,
  type Operation as ContractOperation,
  fewestMissing,
  missingScopes,
} from "../../packages/verify/src/contract/contract.ts";
import { type Access, credentialScopes, missingRights } from "../access/rights.ts";
import { allOwnScopes, isOwnScope, parseScope, unknownScope } from "../access/scopes.ts";
import type { UserId } from "../identifiers.ts";
import { parseAuthorization } from "../openapi/authorizationHeader.ts";
import type { Scheme } from "../openapi/binding.ts";
import { authenticate, type CredentialVerifiers } from "../openapi/guard.ts";
import type {
  AnyTokenPrincipal,
  ApiKeyPrincipal,
  ApiTokenPrincipal,
  PasswordPrincipal,
  Principal,
  TokenPrincipal,
} from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import type { RevocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";
import type { OwnToken, TokenForApi } from "../tokens/accessTokens.ts";
import { isDelegated } from "../tokens/claims.ts";
import { type ForwardedHeaders, forwardedRequest } from "./forwardedRequest.ts";
import type { ProtectedApi } from "./protectedApis.ts";

/** What a proxy asks. */
export type Question = {
  /** By default, this service. */
  audience?: string | undefined;
  /** Separated by spaces. */
  scope?: string | undefined;
  headers: ForwardedHeaders;
  /** The header of the original request. */
  authorization: string | undefined;
};

/** Whose request it is. */
export type Identity = {
  /** The id of the user. `undefined` for a client that acts for itself. */
  userId: UserId | undefined;
  username: string | undefined;
  /** Scopes of the API, or of this service without an audience. */
  scopes: readonly string[];
  roles: readonly string[];
  /** `undefined` if the credential is no token. */
  clientId: string | undefined;
};

/**
 * @returns `undefined` for an operation that needs no credentials
 * @throws {Problem} `invalid-request`, `invalid-target`, `invalid-scope`, a 401, `insufficient-scope`, `undeclared-operation`,
 * `too-many-requests`, `revocations-stale`, `database-unavailable`, `overloaded`, `contract-unusable`
 */
export type ForwardAuth = (question: Question) => Promise<Identity | undefined>;

type AnyPrincipal = Principal | AnyTokenPrincipal;
type Verifiers = CredentialVerifiers<TokenPrincipal | ApiTokenPrincipal>;

type Parts = {
  authenticator: Pick<CredentialVerifiers<TokenPrincipal>, "password" | "apiKey"> & {
    /** Verifies a token for this service. @throws {Problem} `invalid-token`, `token-expired`, `token-revoked` */
    tokenWithoutProof(token: string): OwnToken | Promise<OwnToken>;
    /** Verifies a token for the API with this audience. @throws {Problem} as `tokenWithoutProof` */
    apiToken(token: string, audience: string): TokenForApi | Promise<TokenForApi>;
  };
  access: Pick<Access, "missingScopes" | "refuse" | "rightsOf">;
  apis: RevocableCache<ProtectedApi>;
  revocations: Pick<Revocations, "requireCurrent">;
  /** Whether the peer of a connection is a proxy whose headers are trusted. */
  isTrustedProxy(peer: string): boolean;
  /** The audience of this service. */
  issuer: string;
};

/** What a request needs: all scopes of one alternative for its kind of credential. */
type Rule = {
  /** Whether credentials are ignored. */
  isOpen: boolean;
  /** What a password needs. Without an alternative, it is not accepted. */
  password: Alternatives;
  /** What a token or an API key needs. Without an alternative, it is not accepted. */
  bearer: Alternatives;
  /** Whether a request without valid credentials, or without the scopes, may pass. */
  isOptional: boolean;
};

const anyCredential: Rule = { isOpen: false, password: [[]], bearer: [[]], isOptional: false };

/** @param isForApi whether clients that act for themselves may pass. Without an API, only users may pass */
const schemesOf = ({ password, bearer }: Rule, isForApi: boolean): Scheme[] => [
  ...(password.length > 0 ? (["basicAuth"] as const) : []),
  ...(bearer.length > 0 ? (["bearerAuth", "apiKeyAuth"] as const) : []),
  ...(bearer.length > 0 && isForApi ? (["clientAuth"] as const) : []),
];

export function createForwardAuth(parts: Parts): ForwardAuth {
  const { authenticator, access, apis, revocations, isTrustedProxy, issuer } = parts;
  const password = shareChecks(authenticator.password);

  return async ({ audience, scope, headers, authorization }) => {
    const api = audience === undefined || audience === issuer ? undefined : await find(audience);
    const rule = ruleFor(api, scope, headers);
    if (rule.isOpen || (rule.isOptional && authorization === undefined)) return undefined;
    const context = requestContext();
    const schemes = schemesOf(rule, api !== undefined);
    context.acceptedSchemes = schemes;
    const principal = await authenticateBy(schemes, authorization, api).catch((error: unknown) => {
      if (!rule.isOptional || !(error instanceof Problem) || error.status !== 401) throw error;
      context.refusal = error;
      return undefined;
    });
    if (!principal) return undefined;
    if (rule === anyCredential) requireNotDelegated(principal);
    const missing = await missingOf(principal, rule);
    if (missing.length > 0) {
      if (!rule.isOptional) return access.refuse(principal, missing);
      context.withoutScopes = principal;
      return undefined;
    }
    context.principal = principal;
    return identify(principal, api);
  };

  function find(audience: string): ProtectedApi | Promise<ProtectedApi> {
    revocations.requireCurrent();
    return apis.get(audience);
  }

  function ruleFor(api: ProtectedApi | undefined, scope: string | undefined, headers: ForwardedHeaders): Rule {
    const named = scope === undefined || scope === "" ? [] : parseScope(scope);
    const unknown = named.find((name) => !(api ? api.scopes.has(name) : isOwnScope(name)));
    if (unknown !== undefined) throw unknownScope(unknown);
    const rule = api?.contract ? ruleOfContract(api.contract, headers) : anyCredential;
    return named.length === 0 ? rule : withScopes(rule, named);
  }

  /** The headers of other peers are those of the client itself, who could name an operation that needs less. */
  function ruleOfContract(contract: Contract | "unusable", headers: ForwardedHeaders): Rule {
    if (contract === "unusable") throw new Problem("contract-unusable");
    const { peer } = requestContext();
    const { method, target } = forwardedRequest(peer !== undefined && isTrustedProxy(peer) ? headers : {});
    const operation = contract.match(method, target);
    if (!operation) {
      const declared = contract.allow(target);
      const others = declared.length > 0 ? `It declares ${declared.join(", ")}.` : "It does not declare the path.";
      throw new Problem("undeclared-operation", {
        detail: `The contract of the API does not declare ${method} for this path. ${others}`,
      });
    }
    return ruleOf(operation);
  }

  function authenticateBy(schemes: Scheme[], authorization: string | undefined, api: ProtectedApi | undefined) {
    const verifiers: Verifiers = {
      password,
      apiKey: api ? async (key) => requireKeyFor(api, await authenticator.apiKey(key)) : authenticator.apiKey,
      token: api ? (token) => authenticator.apiToken(token, api.audience) : authenticator.tokenWithoutProof,
    };
    return (async () => authenticate(schemes, parseAuthorization(authorization), verifiers))();
  }

  async function missingOf(principal: AnyPrincipal, { password, bearer }: Rule): Promise<readonly string[]> {
    if (principal.proof === "api-token" || principal.proof === "client-token") {
      return missingScopes(bearer, (name) => principal.scopes.has(name));
    }
    const alternatives = principal.proof === "password" ? password : bearer;
    return fewestMissing(await Promise.all(alternatives.map((scopes) => access.missingScopes(principal, scopes))));
  }

  async function identify(principal: AnyPrincipal, api: ProtectedApi | undefined): Promise<Identity> {
    // A token for an API says what it allows, so no query is needed.
    if (principal.proof === "client-token") {
      const { clientId, scopes } = principal;
      return { userId: undefined, username: undefined, scopes: [...scopes], roles: [], clientId };
    }
    const { userId, username } = principal;
    if (principal.proof === "api-token") {
      const { scopes, roles, clientId } = principal;
      return { userId, username, scopes: [...scopes], roles, clientId };
    }
    revocations.requireCurrent();
    const rights = await access.rightsOf(userId);
    const limit = credentialScopes(principal);
    const known = api ? [...api.scopes] : allOwnScopes;
    const allowed = limit ? known.filter((name) => limit.has(name)) : known;
    const missing = new Set(missingRights(rights, allowed));
    return {
      userId,
      username,
      scopes: allowed.filter((name) => !missing.has(name)),
      roles: rights.roles,
      clientId: principal.proof === "token" ? principal.clientId : undefined,
    };
  }
}

/**
 * A page with many files sends many requests at once. Requests of one client with the same password share one check, because
 * separate checks would take longer than a request may wait. A check in progress has not yet read whether the password was
 * replaced, so sharing it accepts no password for longer.
 */
function shareChecks(check: Verifiers["password"]): Verifiers["password"] {
  const inProgress = new Map<string, Promise<PasswordPrincipal>>();
  return (username, password) => {
    const key = JSON.stringify([requestContext().address, username, password]);
    const shared = inProgress.get(key) ?? check(username, password).finally(() => inProgress.delete(key));
    inProgress.set(key, shared);
    return shared;
  };
}

/**
 * A key is valid for every API that has one of its scopes, as introspection says. A key for another purpose identifies nobody.
 * @throws {Problem} `invalid-token`
 */
function requireKeyFor({ scopes }: ProtectedApi, principal: ApiKeyPrincipal): ApiKeyPrincipal {
  if (![...principal.scopes].some((name) => scopes.has(name))) {
    throw new Problem("invalid-token", { detail: "The API key has no scope of this API." });
  }
  return principal;
}

/**
 * Rejects a delegated token. The user allowed the client to use this service, not an application that has neither an audience of
 * its own nor a scope.
 * @throws {Problem} `invalid-token`
 */
function requireNotDelegated(principal: AnyPrincipal): void {
  if (principal.proof !== "token" || !isDelegated(principal)) return;
  throw new Problem("invalid-token", { detail: "The token of a client needs the audience of an API or a scope here." });
}

const ruleOf = (operation: ContractOperation): Rule => ({
  isOpen: operation.alternatives.length === 0,
  password: operation.basicAlternatives,
  bearer: operation.bearerAlternatives,
  isOptional: operation.allowsAnonymous,
});

/** The scopes that the proxy names are always required, so credentials are always required too. */
function withScopes(rule: Rule, scopes: readonly string[]): Rule {
  const { password, bearer } = rule.isOpen ? anyCredential : rule;
  const add = (alternatives: Alternatives) => alternatives.map((others) => [...others, ...scopes]);
  return { isOpen: false, password: add(password), bearer: add(bearer), isOptional: false };
}
