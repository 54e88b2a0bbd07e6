/** What a token is for, and what it allows: an API, and those of its scopes that the client asked for and the user has. */
import type { UserId } from "../identifiers.ts";
import { Problem } from "../problems/problems.ts";
import { revocableCache } from "../revocations/cache.ts";
import type { Revocations } from "../revocations/revocations.ts";
import { type ApiStore, apiSubject } from "./apis.ts";
import { type Access, heldScopes } from "./rights.ts";
import { isOwnScope, parseScope, unknownScope } from "./scopes.ts";

/** What a client asks for. */
export type TokenRequest = {
  audience?: string | undefined;
  /** Separated by spaces. */
  scope?: string | undefined;
};

/** What a session or a token may be used for. The rights of the user decide as well, each time that a token is issued. */
export type TokenLimits = {
  /** `null`: this service, and any API that a refresh names. */
  audience: string | null;
  /** `null`: all that the user has. */
  scopes: readonly string[] | null;
};

export const unlimited: TokenLimits = { audience: null, scopes: null };

/** What a limited token contains. */
export type TokenGrant = {
  audience: string;
  scopes: readonly string[];
  /** The lifetime of the token, at most. */
  seconds: number;
  /** For another API: the roles of the user, and the versions of the rights, as in `Rights`. */
  rights?: { roles: readonly string[]; epochs: Readonly<Record<string, number>> };
};

export type Grants = {
  /**
   * Limits a session or a token further.
   * @throws {Problem} `invalid-target` for an unknown API, or one that the limits exclude; `invalid-scope` for a malformed scope,
   * or one that the API does not have or the limits exclude
   */
  narrow(limits: TokenLimits, request: TokenRequest): Promise<TokenLimits>;
  /**
   * @returns what a token with these limits may contain, by the user's current rights; `undefined` for a token that is not limited
   * @throws {Problem} `invalid-target` if the API was deleted, `revocations-stale`
   */
  grant(userId: UserId, limits: TokenLimits): Promise<TokenGrant | undefined>;
  /**
   * @returns what a registered API offers; `undefined` if there is none with this audience. Without a promise if it is in memory
   * @throws {Problem} `revocations-stale`, `database-unavailable`
   */
  findApi(audience: string): GrantedApi | Promise<GrantedApi | undefined>;
};

/** What tokens for a registered API may contain, and how long they live. */
export type GrantedApi = { scopes: ReadonlySet<string>; ttlSeconds: number; version: number };

type Parts = {
  store: Pick<ApiStore, "find">;
  access: Pick<Access, "rightsOf">;
  revocations: Pick<Revocations, "onEntry" | "requireCurrent">;
  /** The audience of this service. */
  issuer: string;
  /** The lifetime of tokens. The revocation list is kept for this time, so no API has a longer one. */
  ttlSeconds: number;
};

/** The cache keeps at least this number of APIs. */
const maxApis = 1_000;

export function createGrants({ store, access, revocations, issuer, ttlSeconds }: Parts): Grants {
  const apis = revocableCache<GrantedApi>({
    revocations,
    async load(audience) {
      const api = await store.find(audience);
      // Not cached, so that requests with random audiences do not evict APIs, and a new API is known at once.
      if (!api) throw new Problem("invalid-target", { detail: "No API with this audience is registered." });
      const scopes = new Set(api.scopes.map(({ name }) => name));
      return { scopes, ttlSeconds: Math.min(api.tokenTtlSeconds ?? ttlSeconds, ttlSeconds), version: api.version };
    },
    subjectsOf: (audience) => [apiSubject(audience)],
    maxSize: maxApis,
  });

  return {
    async narrow(limits, request) {
      const audience = request.audience ?? limits.audience ?? (request.scope === undefined ? null : issuer);
      if (audience === null) return limits;
      if (limits.audience !== null && audience !== limits.audience) {
        throw new Problem("invalid-target", { detail: `The session is limited to ${limits.audience}.` });
      }
      const hasScope = await scopesOf(audience);
      if (request.scope === undefined) return { audience, scopes: limits.scopes };
      const scopes = parseScope(request.scope);
      for (const scope of scopes) {
        if (!hasScope(scope)) throw unknownScope(scope);
        if (limits.scopes && !limits.scopes.includes(scope)) {
          throw new Problem("invalid-scope", { detail: `The session is limited to other scopes than ${scope}.` });
        }
      }
      return { audience, scopes };
    },

    async grant(userId, { audience, scopes }) {
      if (audience === null || (audience === issuer && scopes === null)) return undefined;
      revocations.requireCurrent();
      const rights = await access.rightsOf(userId);
      if (audience === issuer) return { audience, scopes: heldScopes(rights, scopes ?? []), seconds: ttlSeconds };
      const api = await apis.get(audience);
      return {
        audience,
        scopes: heldScopes(
          rights,
          (scopes ?? [...api.scopes]).filter((scope) => api.scopes.has(scope)),
        ),
        seconds: api.ttlSeconds,
        rights: { roles: rights.roles, epochs: { ...rights.epochs, [apiSubject(audience)]: api.version } },
      };
    },

    findApi(audience) {
      revocations.requireCurrent();
      const api = apis.get(audience);
      return api instanceof Promise ? api.catch(unlessUnknown) : api;
    },
  };

  /** @returns whether the API has a scope */
  async function scopesOf(audience: string): Promise<(scope: string) => boolean> {
    if (audience === issuer) return isOwnScope;
    revocations.requireCurrent();
    const { scopes } = await apis.get(audience);
    return (scope) => scopes.has(scope);
  }
}

function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof Problem) || error.slug !== "invalid-target") throw error;
}
