/**
 * Tells other services what a token allows now (RFC 7662). For a token that was verified before, this takes no query and, like the
 * check of a request, no promise.
 */
import { type Access, defaultRole, heldScopes, type Rights, rightsSubject, roleSubject } from "../access/rights.ts";
import { allOwnScopes } from "../access/scopes.ts";
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
  | { kind: "api-key"; principal: ApiKeyPrincipal; expiresAt: Date | undefined; allowed: Allowed }
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
};

type Found = Introspected | undefined;

/**
 * @param after a cursor of the revocation feed: the result is at least as recent
 * @returns `undefined` for a text that is not a valid token
 * @throws {Problem} `invalid-request` for what is no cursor; `revocations-stale`, `database-unavailable`
 */
export type Introspect = (text: string, after?: string) => Found | Promise<Found>;

export function createIntrospection({ tokens, revocations, access, apiKeys, sessions, feed }: Parts): Introspect {
  const accessToken = (text: string): Found | Promise<Found> =>
    unlessRefused(() =>
      follow(tokens.verifyAny(text), (principal): Found | Promise<Found> => {
        revocations.check(principal);
        if (principal.proof !== "token") return { kind: "access-token", principal, allowed: byClaims(principal) };
        return follow(access.rightsOf(principal.userId), (rights) => {
          const allowed = allowedBy(rights, principal, principal.scopes ?? allOwnScopes, subjectsOf(principal));
          return { kind: "access-token", principal, allowed };
        });
      }),
    );

  const apiKey = (text: string): Found | Promise<Found> =>
    follow(apiKeys.inspect(text), (found: InspectedKey | undefined): Found | Promise<Found> => {
      if (!found) return undefined;
      const { principal } = found;
      return follow(access.rightsOf(principal.userId), (rights) => {
        const allowed = allowedBy(rights, principal, principal.scopes, [principal.apiKeyId]);
        return { kind: "api-key", ...found, allowed };
      });
    });

  const refreshToken = async (text: string): Promise<Found> => {
    const session = await sessions.inspect(text);
    return session && { kind: "refresh-token", session };
  };

  const byKind = { "access-token": accessToken, "api-key": apiKey, "refresh-token": refreshToken };
  return (text, after) =>
    follow(after === undefined ? undefined : feed.atLeast(after, notACursor), () => byKind[kindOf(text)](text));
}

const notACursor: RequestError = { parameter: "revocations_after", detail: "is not a cursor of the revocation list" };

/** @returns `undefined` if a token is refused */
function unlessRefused(verify: () => Found | Promise<Found>): Found | Promise<Found> {
  const refused = (error: unknown): undefined => {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
  };
  try {
    const found = verify();
    return found instanceof Promise ? found.catch(refused) : found;
  } catch (error) {
    return refused(error);
  }
}

/** A newer version of what the claims depend on revokes the token, so that they are current. */
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
  limits: Iterable<string>,
  subjects: readonly string[],
): Allowed {
  return {
    scopes: heldScopes(rights, [...limits]),
    roles: rights.roles,
    revocationSubjects: [...subjects, ...subjectsOfRights(userId, rights), everybody],
  };
}

const subjectsOfRights = (userId: UserId, { roles }: Rights): readonly string[] => [
  userId,
  rightsSubject(userId),
  ...[defaultRole, ...roles].map(roleSubject),
];
