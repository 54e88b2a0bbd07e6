/** Tells other services what a token allows now (RFC 7662). */
import { type Access, defaultRole, heldScopes, type Rights, rightsSubject, roleSubject } from "../access/rights.ts";
import { allOwnScopes } from "../access/scopes.ts";
import type { ApiKeyVerification } from "../apiKeys/verification/verification.ts";
import type { UserId } from "../identifiers.ts";
import type { AnyTokenPrincipal, ApiKeyPrincipal, TokenPrincipal } from "../principal.ts";
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

/**
 * @param after a cursor of the revocation feed: the result is at least as recent
 * @returns `undefined` for a text that is not a valid token
 * @throws {Problem} `invalid-request` for what is no cursor; `revocations-stale`, `database-unavailable`
 */
export type Introspect = (text: string, after?: string) => Promise<Introspected | undefined>;

export function createIntrospection({ tokens, revocations, access, apiKeys, sessions, feed }: Parts): Introspect {
  async function accessToken(text: string): Promise<Introspected | undefined> {
    try {
      const principal = await tokens.verifyAny(text);
      revocations.check(principal);
      return { kind: "access-token", principal, allowed: await allowedBy(principal) };
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return undefined;
      throw error;
    }
  }

  async function allowedBy(principal: AnyTokenPrincipal): Promise<Allowed> {
    const { tokenId, sessionId, keyId, userId } = principal;
    const subjects = [tokenId, ...(sessionId ? [sessionId] : []), keyId];
    if (principal.proof === "token") return ofOwnToken(principal, subjects);
    const { scopes, roles, epochs } = principal;
    const revocationSubjects = [...subjects, userId, ...Object.keys(epochs), everybody];
    return { scopes: [...scopes], roles, revocationSubjects };
  }

  /** A token for this service allows what its user may do here, within its own limits. */
  async function ofOwnToken(
    { userId, scopes = allOwnScopes }: OwnToken,
    subjects: readonly string[],
  ): Promise<Allowed> {
    const rights = await access.rightsOf(userId);
    return withRights(rights, [...scopes], [...subjects, ...subjectsOf(userId, rights)]);
  }

  async function apiKey(text: string): Promise<Introspected | undefined> {
    const found = await apiKeys.inspect(text);
    if (!found) return undefined;
    const { apiKeyId, userId, scopes } = found.principal;
    const rights = await access.rightsOf(userId);
    const allowed = withRights(rights, [...scopes], [apiKeyId, ...subjectsOf(userId, rights)]);
    return { kind: "api-key", ...found, allowed };
  }

  async function refreshToken(text: string): Promise<Introspected | undefined> {
    const session = await sessions.inspect(text);
    return session && { kind: "refresh-token", session };
  }

  const byKind = { "access-token": accessToken, "api-key": apiKey, "refresh-token": refreshToken };
  return async (text, after) => {
    if (after !== undefined) await feed.atLeast(after, notACursor);
    return byKind[kindOf(text)](text);
  };
}

const notACursor: RequestError = { parameter: "revocations_after", detail: "is not a cursor of the revocation list" };

type OwnToken = Pick<TokenPrincipal, "userId"> & { scopes: ReadonlySet<string> | readonly string[] | undefined };

const withRights = (rights: Rights, wanted: readonly string[], revocationSubjects: readonly string[]): Allowed => ({
  scopes: heldScopes(rights, wanted),
  roles: rights.roles,
  revocationSubjects,
});

/** The subjects on which the rights of a user depend, and those that end all of the user's credentials. */
const subjectsOf = (userId: UserId, { roles }: Rights): readonly string[] => [
  userId,
  rightsSubject(userId),
  ...[defaultRole, ...roles].map(roleSubject),
  everybody,
];
