/** Checks API keys: from memory after the first use, until an entry of the revocation list makes the key outdated. */
import QuickLRU from "quick-lru";
import type { Audit } from "../../audit/audit.ts";
import { unknownNetwork } from "../../networks.ts";
import type { ApiKeyPrincipal } from "../../principal.ts";
import type { ProblemSlug } from "../../problems/catalogue.ts";
import { Problem } from "../../problems/problems.ts";
import { clientNetworks } from "../../requestContext.ts";
import { revocableCache } from "../../revocations/cache.ts";
import type { Revocations } from "../../revocations/revocations.ts";
import { type ApiKeyDigest, parseKey } from "../format.ts";
import type { LastUses } from "./lastUses.ts";
import type { StoredKey, VerificationStore } from "./storeTypes.ts";

export type VerifyApiKey = (text: string) => ApiKeyPrincipal | Promise<ApiKeyPrincipal>;

type Parts = {
  store: Pick<VerificationStore, "findByDigest">;
  revocations: Pick<Revocations, "onEntry" | "requireCurrent">;
  lastUses: Pick<LastUses, "record">;
  /** The time of the database. */
  clock: () => Date;
  audit: Audit;
};

/** A key in memory. Times are milliseconds since 1970, or `Infinity`. */
type CachedKey = {
  principal: ApiKeyPrincipal;
  expiresAtMs: number;
  secretExpiresAtMs: number;
  /** The last minute whose use was recorded. */
  recordedMinute: number;
};

/** The cache keeps at least this number of recently used keys, and at most twice as many. Each takes about 600 bytes. */
const maxKeys = 100_000;
/** Keys with the same scopes share them. */
const maxScopeSets = 1_000;
const minuteMs = 60_000;

/**
 * @returns a function that verifies a key. It throws `invalid-token`, `token-expired`, `revocations-stale` and
 * `database-unavailable`. For a key that was verified before, the result is no promise
 */
export function createApiKeyVerification({ store, revocations, lastUses, clock, audit }: Parts): VerifyApiKey {
  const scopeSets = new QuickLRU<string, ReadonlySet<string>>({ maxSize: maxScopeSets });
  const cache = revocableCache<CachedKey>({
    revocations,
    // Only keys that work are cached. So nobody can fill the cache with keys that do not exist.
    async load(digest) {
      const found = await store.findByDigest(digest);
      if (!found) throw new RefusedKey("unknown");
      const key = toCached(found);
      if (found.isBlocked) throw new RefusedKey("unknown", key.principal);
      return key;
    },
    subjectsOf: (_digest, { principal }) => [principal.apiKeyId, principal.userId],
    maxSize: maxKeys,
  });

  function toCached({ id, userId, username, epoch, scopes, expiresAt, secretExpiresAt }: StoredKey): CachedKey {
    const joined = scopes.join(" ");
    const shared = scopeSets.get(joined) ?? new Set(scopes);
    scopeSets.set(joined, shared);
    return {
      // Frozen, because all requests with this key share it.
      principal: Object.freeze({ proof: "api-key", userId, username, epoch, apiKeyId: id, scopes: shared } as const),
      expiresAtMs: expiresAt?.getTime() ?? Infinity,
      secretExpiresAtMs: secretExpiresAt?.getTime() ?? Infinity,
      recordedMinute: 0,
    };
  }

  function accept(digest: ApiKeyDigest, key: CachedKey): ApiKeyPrincipal {
    const { principal, expiresAtMs, secretExpiresAtMs } = key;
    const now = clock();
    if (expiresAtMs <= now.getTime()) throw new RefusedKey("expired", principal);
    if (secretExpiresAtMs <= now.getTime()) throw new RefusedKey("rotated", principal);
    const minute = Math.floor(now.getTime() / minuteMs);
    if (minute !== key.recordedMinute) {
      key.recordedMinute = minute;
      const [network] = clientNetworks();
      lastUses.record(digest, network === unknownNetwork ? null : network, new Date(minute * minuteMs));
    }
    return principal;
  }

  /** Records why a key was rejected, for each request. */
  function refuse(error: unknown): never {
    if (!(error instanceof RefusedKey)) throw error;
    const { reason, principal } = error;
    audit("api-key-refused", { userId: principal?.userId, apiKeyId: principal?.apiKeyId, reason });
    throw new Problem(refusals[reason]);
  }

  return (text) => {
    const digest = parseKey(text);
    if (digest === undefined) return refuse(new RefusedKey("malformed"));
    revocations.requireCurrent();
    const key = cache.get(digest);
    if (key instanceof Promise) return key.then((loaded) => accept(digest, loaded)).catch(refuse);
    try {
      return accept(digest, key);
    } catch (error) {
      return refuse(error);
    }
  };
}

/** Why a key is rejected. The client does not learn the difference between an unknown key and a deleted or blocked one. */
class RefusedKey extends Error {
  readonly reason: keyof typeof refusals;
  /** `undefined` if there is no such key. */
  readonly principal: ApiKeyPrincipal | undefined;

  constructor(reason: keyof typeof refusals, principal?: ApiKeyPrincipal) {
    super(reason);
    this.reason = reason;
    this.principal = principal;
  }
}

const refusals = {
  malformed: "invalid-token",
  unknown: "invalid-token",
  expired: "token-expired",
  rotated: "token-expired",
} as const satisfies Record<string, ProblemSlug>;
