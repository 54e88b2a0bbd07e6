/**
 * Tells other services what a token allows now (RFC 7662). For a token that was verified before, this takes no query and, like the
 * check of a request, no promise.
 */
import { apiSubject } from "../access/apis.ts";
import { type Access, defaultRole, heldScopes, type Rights, rightsSubject, roleSubject } from "../access/rights.ts";
import { allOwnScopes, isOwnScope } from "../access/scopes.ts";
import type { ApiKeyVerification, InspectedKey } from "../apiKeys/verification/verification.ts";
import type { UserId } from "../identifiers.ts";
import { follow } from "../lib/follow.ts";
import type {
  AnyTokenPrincipal,
  ApiKeyPrincipal,
  ApiTokenPrincipal,
  ClientPrincipal,
  TokenPrincipal,
} from "../principal.ts";
import { Problem, type RequestError } from "../problems/problems.ts";
import type { RevocationFeed } from "../revocations/feed.ts";
import { everybody, type Revocations } from "../revocations/revocations.ts";
import type { RefreshableSession, Sessions } from "../sessions/sessions.ts";
import type { AccessTokens } from "../tokens/accessTokens.ts";
import { kindOf } from "./kinds.ts";

/** A valid token. */
export type Introspected =
  | { kind: "access-token"; principal: AnyTokenPrincipal; allowed: Allowed }
  | {
      kind: "api-key";
      principal: ApiKeyPrincipal;
      expiresAt: Date | undefined;
      /** The service for which the key was looked up. `undefined` if none was named. */
      audience: string | undefined;
      allowed: Allowed;
    }
  | { kind: "refresh-token"; session: RefreshableSession };

/** What a credential allows now. */
type Allowed = {
  scopes: readonly string[];
  /** The roles of the user, without `default`. */
  roles: readonly string[];
  /** The subjects of the revocation list whose next entry may change this. */
  revocationSubjects: readonly string[];
};

type Parts = {
  tokens: Pick<AccessTokens, "verifyAny">;
  revocations: Pick<Revocations, "check">;
  access: Pick<Access, "rightsOf">;
  apiKeys: Pick<ApiKeyVerification, "inspect">;
  sessions: Pick<Sessions, "inspect">;
  feed: Pick<RevocationFeed, "atLeast">;
  apis: {
    /** @throws {Problem} `invalid-target` for an audience that is not registered, `database-unavailable` */
    get(audience: string): ApiScopes | Promise<ApiScopes>;
  };
  /** The audience of this service itself. */
  issuer: string;
};

type ApiScopes = { scopes: ReadonlySet<string> };

type Question = {
  /** A cursor of the revocation feed: the result is at least as recent. */
  after?: string | undefined;
  /** The service that wants to accept the text. It learns nothing of a token that is not for it. */
  audience?: string | undefined;
};

type Found = Introspected | undefined;

/**
 * @returns `undefined` for a text that is not a valid token, or not valid for the audience
 * @throws {Problem} `invalid-request` for what is no cursor; `revocations-stale`, `database-unavailable`
 */
export type Introspect = (text: string, question?: Question) => Found | Promise<Found>;

export function createIntrospection(parts: Parts): Introspect {
  const { tokens, revocations, access, apiKeys, sessions, feed, apis, issuer } = parts;
  const isForLatchkey = (audience: string | undefined) => audience === undefined || audience === issuer;

  const accessToken = (text: string, audience?: string): Found | Promise<Found> =>
    unlessRefused(() =>
      follow(tokens.verifyAny(text), (principal): Found | Promise<Found> => {
        revocations.check(principal);
        const isForAudience =
          principal.proof === "token"
            ? isForLatchkey(audience)
            : (audience ?? principal.audience) === principal.audience;
        if (!isForAudience) return undefined;
        if (principal.proof !== "token") return { kind: "access-token", principal, allowed: byClaims(principal) };
        return follow(access.rightsOf(principal.userId), (rights) => {
          const limits = { scopes: principal.scopes ?? allOwnScopes, subjects: subjectsOf(principal) };
          const allowed = allowedBy(rights, principal, limits);
          return { kind: "access-token", principal, allowed };
        });
      }),
    );

  const apiKey = (text: string, audience?: string): Found | Promise<Found> =>
    follow(apiKeys.inspect(text), (found: InspectedKey | undefined): Found | Promise<Found> => {
      if (!found) return undefined;
      const scopes = [...found.principal.scopes];
      const subjects = [found.principal.apiKeyId];
      if (audience === undefined) return describeKey(found, { audience, scopes, subjects });
      if (isForLatchkey(audience)) return describeKey(found, { audience, scopes: scopes.filter(isOwnScope), subjects });
      return unlessRefused(() =>
        follow(apis.get(audience), (api): Found | Promise<Found> => {
          const atApi = scopes.filter((name) => api.scopes.has(name));
          // A key was made for an API if it has one of its scopes, also if its user has lost the scope.
          if (atApi.length === 0) return undefined;
          return describeKey(found, { audience, scopes: atApi, subjects: [...subjects, apiSubject(audience)] });
        }),
      );
    });

  type KeyUse = { audience: string | undefined; scopes: readonly string[]; subjects: readonly string[] };
  const describeKey = (found: InspectedKey, { audience, scopes, subjects }: KeyUse): Found | Promise<Found> =>
    follow(access.rightsOf(found.principal.userId), (rights) => {
      const allowed = allowedBy(rights, found.principal, { scopes, subjects });
      return { kind: "api-key", ...found, audience, allowed };
    });

  const refreshToken = async (text: string, audience?: string): Promise<Found> => {
    if (!isForLatchkey(audience)) return undefined;
    const session = await sessions.inspect(text);
    return session && { kind: "refresh-token", session };
  };

  const byKind = { "access-token": accessToken, "api-key": apiKey, "refresh-token": refreshToken };
  return (text, { after, audience } = {}) =>
    follow(after === undefined ? undefined : feed.atLeast(after, notACursor), () =>
      byKind[kindOf(text)](text, audience),
    );
}

const notACursor: RequestError = { parameter: "revocations_after", detail: "is not a cursor of the revocation list" };

/** @returns `undefined` if a token is refused, or there is no such API */
function unlessRefused(verify: () => Found | Promise<Found>): Found | Promise<Found> {
  const refused = (error: unknown): undefined => {
    if (!(error instanceof Problem) || (error.status !== 401 && error.slug !== "invalid-target")) throw error;
  };
  try {
    const found = verify();
    return found instanceof Promise ? found.catch(refused) : found;
  } catch (error) {
    return refused(error);
  }
}

/** The claims are current, because a change of anything that they depend on revokes the token. */
function byClaims(principal: ApiTokenPrincipal | ClientPrincipal): Allowed {
  const { scopes } = principal;
  const isUser = principal.proof === "api-token";
  const revocationSubjects = [...subjectsOf(principal), ...(isUser ? [principal.userId] : []), everybody];
  return { scopes: [...scopes], roles: isUser ? principal.roles : [], revocationSubjects };
}

/** The subjects of the token itself, and of what it says that it depends on. */
function subjectsOf(principal: AnyTokenPrincipal): readonly string[] {
  const { tokenId, keyId, epochs = {} } = principal;
  const sessionId = principal.proof === "client-token" ? undefined : principal.sessionId;
  return [tokenId, ...(sessionId === undefined ? [] : [sessionId]), keyId, ...Object.keys(epochs)];
}

/** What a credential allows within its own limits, and within the rights of its user. */
function allowedBy(
  rights: Rights,
  { userId }: Pick<TokenPrincipal, "userId">,
  { scopes, subjects }: { scopes: Iterable<string>; subjects: readonly string[] },
): Allowed {
  return {
    scopes: heldScopes(rights, [...scopes]),
    roles: rights.roles,
    revocationSubjects: [...subjects, ...subjectsOfRights(userId, rights), everybody],
  };
}

const subjectsOfRights = (userId: UserId, { roles }: Rights): readonly string[] => [
  userId,
  rightsSubject(userId),
  ...[defaultRole, ...roles].map(roleSubject),
];
