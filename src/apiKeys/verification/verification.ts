/** Checks API keys: from memory after the first use, until an entry of the revocation list makes the key outdated. */
import QuickLRU from "quick-lru";
import type { Audit } from "../../audit/audit.ts";
import type { Network } from "../../identifiers.ts";
import type { LastUses } from "../../lib/lastUses.ts";
import { unknownNetwork } from "../../networks.ts";
import type { ApiKeyPrincipal } from "../../principal.ts";
import type { ProblemSlug } from "../../problems/catalogue.ts";
import { Problem } from "../../problems/problems.ts";
import { clientNetworks } from "../../requestContext.ts";
import { revocableCache } from "../../revocations/cache.ts";
import type { Revocations } from "../../revocations/revocations.ts";
import { type ApiKeyDigest, parseKey } from "../format.ts";
import type { StoredKey, VerificationStore } from "./storeTypes.ts";

export type VerifyApiKey = (text: string) => ApiKeyPrincipal | Promise<ApiKeyPrincipal>;

export type ApiKeyVerification = {
  /**
   * Verifies the key of a request. For a key that was verified before, the result is no promise.
   * @throws {Problem} `invalid-token`, `token-expired`, `revocations-stale`, `database-unavailable`
   */
  verify: VerifyApiKey;
  /**
   * Verifies a key that another service has received, and records its use without a network. Nothing is audited.
   * @returns `undefined` for a text that is not a valid key. For a key that was verified before, the result is no promise
   * @throws {Problem} `revocations-stale`, `database-unavailable`
   */
  inspect(text: string): InspectedKey | undefined | Promise<InspectedKey | undefined>;
};

/** A valid key. `expiresAt`: of the key, or of a secret that was replaced. */
export type InspectedKey = { principal: ApiKeyPrincipal; expiresAt: Date | undefined };

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

export function createApiKeyVerification(parts: Parts): ApiKeyVerification {
  const { store, revocations, lastUses, clock, audit } = parts;
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

  /** @param networkOfUse is called if the use is recorded */
  function accept(digest: ApiKeyDigest, key: CachedKey, networkOfUse: () => Network | null): ApiKeyPrincipal {
    const { principal, expiresAtMs, secretExpiresAtMs } = key;
    const now = clock();
    if (expiresAtMs <= now.getTime()) throw new RefusedKey("expired", principal);
    if (secretExpiresAtMs <= now.getTime()) throw new RefusedKey("rotated", principal);
    const minute = Math.floor(now.getTime() / minuteMs);
    if (minute !== key.recordedMinute) {
      key.recordedMinute = minute;
      lastUses.record(digest, new Date(minute * minuteMs), networkOfUse);
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

  /** Without a promise if the key is in memory. */
  function find(digest: ApiKeyDigest): CachedKey | Promise<CachedKey> {
    revocations.requireCurrent();
    return cache.get(digest);
  }

  return {
    verify(text) {
      const digest = parseKey(text);
      if (digest === undefined) return refuse(new RefusedKey("malformed"));
      const key = find(digest);
      if (key instanceof Promise) return key.then((loaded) => accept(digest, loaded, clientNetwork)).catch(refuse);
      try {
        return accept(digest, key, clientNetwork);
      } catch (error) {
        return refuse(error);
      }
    },

    inspect(text) {
      const digest = parseKey(text);
      if (digest === undefined) return undefined;
      const key = find(digest);
      if (key instanceof Promise) return key.then((loaded) => describe(digest, loaded)).catch(unlessRefused);
      try {
        return describe(digest, key);
      } catch (error) {
        return unlessRefused(error);
      }
    },
  };

  function describe(digest: ApiKeyDigest, key: CachedKey): InspectedKey {
    const principal = accept(digest, key, () => null);
    const expiresAtMs = Math.min(key.expiresAtMs, key.secretExpiresAtMs);
    return { principal, expiresAt: expiresAtMs === Infinity ? undefined : new Date(expiresAtMs) };
  }
}

function unlessRefused(error: unknown): undefined {
  if (!(error instanceof RefusedKey)) throw error;
}

function clientNetwork(): Network | null {
  const [network] = clientNetworks();
  return network === unknownNetwork ? null : network;
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
