/** The verifier: decides about each credential, from memory if it was verified before. */
import { type ApiKeys, createApiKeys } from "./apiKeys.ts";
import { parseCredential, requireOneHeader } from "./authorization.ts";
import { fetchJson, isObject, StatusError } from "./json.ts";
import { unref, watchKeySet } from "./keySet.ts";
import { type Counters, checkOptions, type Verifier, type VerifierOptions } from "./options.ts";
import type { Principal } from "./principal.ts";
import { type CreateRefusal, Refusal, type RefusalSlug, refusals } from "./refusal.ts";
import { createRemembered, type RememberedCredential } from "./remembered.ts";
import { reportOutcomes } from "./reports.ts";
import { followRevocations, type RevocationFeed } from "./revocationFeed.ts";
import { createRevocationList, type RevocationEntry } from "./revocationList.ts";
import { isAlgorithmOf, type VerificationKey } from "./signature.ts";
import { createTokenParser } from "./token.ts";

/** How far in the future `iat` and `nbf` may be. */
const clockSkewMs = 60_000;
/** How long a request waits for the first answers of Latchkey after the start. */
const startTimeoutMs = 2_000;

/** Makes a verifier, which begins to request the keys and the revocations. @throws {TypeError} for a wrong option */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, audience, credential, url, metadataUrl, fetch, onError, ...limits } = checkOptions(options);
  const { maxStalenessMs, mustBeCurrent, maxRemembered, maxRevocations } = limits;
  const counts = { accepted: 0, acceptedFromMemory: 0, failedRequests: 0, rejectedRevocations: 0 };
  const refused = new Map<RefusalSlug, number>();
  const createRefusal = refusals(issuer, metadataUrl);
  const refusal: CreateRefusal = (slug, members) => {
    refused.set(slug, (refused.get(slug) ?? 0) + 1);
    return createRefusal(slug, members);
  };

  const parseToken = createTokenParser(issuer, audience);
  const remembered = createRemembered(maxRemembered);
  const list = createRevocationList(maxRevocations);
  const reports = reportOutcomes({
    failed() {
      counts.failedRequests += 1;
    },
    report: onError,
  });
  const keys = watchKeySet({
    url: `${url}/.well-known/jwks.json`,
    fetch,
    onRemoved: (kid) => remembered.forgetAll(({ subjects }) => subjects.includes(kid)),
    onOutcome: reports.of("The key set could not be read"),
  });

  let feed: RevocationFeed | undefined;
  /** Whether there are revocations that the list has no room for. */
  let isIncomplete = false;
  let apiKeys: ApiKeys | undefined;
  if (credential !== undefined) {
    const authorization = `Bearer ${credential}`;
    const lookups = createApiKeys({
      url: `${url}/oauth/introspect`,
      authorization,
      audience,
      fetch,
      cursor: () => feed?.cursor(),
      remember: remembered.add,
    });
    const apply = (entry: RevocationEntry): boolean => {
      remembered.apply(entry);
      lookups.apply(entry);
      return list.add(entry);
    };
    feed = followRevocations({
      url: `${url}/api/revocations`,
      authorization,
      fetch,
      maxStalenessMs,
      onEntries(entries) {
        const rejected = entries.filter((entry) => !apply(entry)).length;
        counts.rejectedRevocations += rejected;
        isIncomplete = rejected > 0;
        list.removeExpired(Date.now());
        return !isIncomplete;
      },
      onGap() {
        lookups.applyAll();
        remembered.forgetAll(({ principal }) => principal.apiKeyId !== undefined);
      },
      onOutcome: reports.of("The revocations could not be read"),
    });
    apiKeys = lookups;
  }

  const isReady = () => keys.isLoaded() && feed?.isLoaded() !== false;
  /** Ends the waiting of the requests that came before the first answers of Latchkey. */
  let waiting: Set<() => void> | undefined = new Set();
  const loaded = Promise.all([keys.loaded, feed?.loaded]).then(() => {
    for (const end of waiting ?? []) end();
    waiting = undefined;
  });
  /** Removes its timer and callback when the wait ends: otherwise they would accumulate during a long outage of Latchkey. */
  const untilLoaded = (): Promise<void> =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        waiting?.delete(end);
        resolve();
      };
      const timer = setTimeout(end, startTimeoutMs);
      unref(timer);
      if (waiting) waiting.add(end);
      else end();
    });
  let readiness: Promise<void> | undefined;

  /** @throws {Refusal} `revocations-stale` if revocations may be unknown for too long */
  const requireCurrent = (nowMs: number): void => {
    if (feed === undefined) return;
    if (list.lacksEntriesAt(nowMs)) {
      list.beginReload();
      feed.reload();
    }
    if (!isIncomplete && (!mustBeCurrent || feed.stalenessMs(nowMs) <= maxStalenessMs)) return;
    feed.wake();
    throw refusal("revocations-stale");
  };

  /** The checks that are made at each use. */
  const requireUsable = (credential: RememberedCredential): void => {
    const nowMs = Date.now();
    if (credential.validFromMs > nowMs) throw refusal("invalid-token"); // the clock was set back
    if (credential.expiresAtMs <= nowMs) {
      remembered.forget(credential);
      const at = new Date(credential.expiresAtMs).toISOString();
      throw refusal("token-expired", { detail: `The token expired at ${at}.` });
    }
    requireCurrent(nowMs);
  };
  const accept = (principal: Principal, required: Scopes): Principal => {
    if (required !== undefined) {
      for (const scope of required) {
        if (principal.scopes.has(scope)) continue;
        throw refusal("insufficient-scope", { missingScopes: required.filter((name) => !principal.scopes.has(name)) });
      }
    }
    counts.accepted += 1;
    return principal;
  };
  const use = (credential: RememberedCredential, required: Scopes): Principal => {
    requireUsable(credential);
    return accept(credential.principal, required);
  };

  /** @param authorization `Bearer` and the token */
  const verifyToken = (authorization: string, scopes: Scopes): Principal | Promise<Principal> => {
    const parsed = parseToken(authorization.slice("Bearer ".length));
    if (!parsed) {
      requireOneHeader(authorization, refusal);
      throw refusal("invalid-token");
    }
    const { kid, alg, signedInput, signature, principal, subjects, versions } = parsed;
    const isRevoked = () => versions.some((version, index) => version < list.minimumEpoch(subjects[index] ?? ""));
    // No token of a revoked key is valid, whatever it contains. Its public key may be unknown by now.
    if ((versions[subjects.indexOf(kid)] ?? 0) < list.minimumEpoch(kid)) throw refusal("token-revoked");

    const decide = (isSigned: boolean): Principal => {
      if (!isSigned) throw refusal("invalid-token");
      const verified: RememberedCredential = {
        authorization,
        principal,
        validFromMs: Math.max(parsed.issuedAt, parsed.notBefore) * 1000 - clockSkewMs,
        expiresAtMs: parsed.expiresAt * 1000,
        subjects,
        versions,
        wasUsed: false,
      };
      if (isRevoked() && verified.expiresAtMs > Date.now()) throw refusal("token-revoked");
      requireUsable(verified);
      remembered.add(verified);
      return accept(principal, scopes);
    };
    const verifyWith = (key: VerificationKey | undefined): Principal | Promise<Principal> => {
      if (!key || !isAlgorithmOf(key.algorithm, alg)) throw refusal("invalid-token");
      return then(key.verify(signedInput, signature), decide);
    };
    const key = keys.find(kid);
    return key instanceof Promise ? key.catch(unavailable).then(verifyWith) : verifyWith(key);
  };

  const verifyApiKey = async (key: string, scopes: Scopes): Promise<Principal> => {
    if (!apiKeys) throw refusal("invalid-token", { detail: "This service does not accept an API key." });
    requireCurrent(Date.now()); // an answer could not be remembered
    const found = await apiKeys.find(key).catch((error: unknown) => {
      reportIntrospection(error);
      return unavailable(error);
    });
    if (!found) throw refusal("invalid-token");
    return use(found, scopes);
  };
  const reportIntrospection = reports.of("An API key could not be looked up");
  const unavailable = (cause: unknown): never => {
    throw refusal("verification-unavailable", { cause });
  };

  const verifyFirst = (header: string | null | undefined, scopes: Scopes): Principal | Promise<Principal> => {
    if (header?.startsWith("Bearer ey")) return verifyToken(header, scopes); // the most common case
    const { kind, text } = parseCredential(header, refusal);
    const authorization = `Bearer ${text}`;
    const known = remembered.find(authorization);
    if (known) return use(known, scopes);
    return kind === "api-key" ? verifyApiKey(text, scopes) : verifyToken(authorization, scopes);
  };
  const verifyWhenReady = async (authorization: string | null | undefined, scopes: Scopes): Promise<Principal> => {
    parseCredential(authorization, refusal); // a request without credentials does not wait
    await untilLoaded();
    return verifyFirst(authorization, scopes);
  };
  /** A fault in the verifier must not become a response with a 500, or let anybody in. */
  const onlyRefusals = (error: unknown): never => {
    throw error instanceof Refusal ? error : refusal("verification-unavailable", { cause: error });
  };

  /** A short document of Latchkey. */
  const ask = (path: string, headers: Record<string, string> = {}): Promise<unknown> =>
    fetchJson(fetch, url + path, { headers, idleTimeoutMs: 5_000, timeoutMs: 10_000, maxBytes: 1_048_576 });

  return {
    issuer,
    audience,
    refusal,
    verify(authorization, { scopes } = {}) {
      try {
        const known = typeof authorization === "string" ? remembered.find(authorization) : undefined;
        if (known) {
          const principal = use(known, scopes);
          counts.acceptedFromMemory += 1;
          return principal;
        }
        const found = isReady() ? verifyFirst(authorization, scopes) : verifyWhenReady(authorization, scopes);
        return found instanceof Promise ? found.catch(onlyRefusals) : found;
      } catch (error) {
        return onlyRefusals(error);
      }
    },
    async ready() {
      if (isReady()) return;
      readiness ??= Promise.race([loaded, reports.rejected()]).finally(() => {
        readiness = undefined;
      });
      // Keeps the program alive: it does not listen yet, and the timers between requests do not.
      const timer = setInterval(() => {}, 60_000);
      try {
        await readiness;
      } finally {
        clearInterval(timer);
      }
    },
    async registeredScopes() {
      if (credential === undefined) return undefined;
      const headers = { Authorization: `Bearer ${credential}` };
      const api = await ask(`/api/apis/${encodeURIComponent(audience)}`, headers).catch((cause: unknown) => {
        const reason = cause instanceof StatusError ? reasons.get(cause.status) : undefined;
        throw reason === undefined
          ? cause
          : new Error(`Latchkey does not say which scopes are registered: ${reason}.`, { cause });
      });
      if (!isObject(api) || !Array.isArray(api["scopes"])) throw new Error("Latchkey did not respond with an API.");
      const names = api["scopes"].map((scope: unknown) => (isObject(scope) ? scope["name"] : undefined));
      return new Set(names.filter((name) => typeof name === "string"));
    },
    async metadata() {
      const metadata = await ask(`/.well-known/oauth-protected-resource?resource=${encodeURIComponent(audience)}`);
      if (!isObject(metadata)) throw new Error("Latchkey did not respond with the metadata of an API.");
      return metadata;
    },
    counters: (): Counters => ({
      ...counts,
      refused: Object.fromEntries(refused),
      introspections: apiKeys?.introspections() ?? 0,
      remembered: remembered.size(),
      revocations: list.size(),
      stalenessSeconds: feed === undefined ? undefined : feed.stalenessMs(Date.now()) / 1000,
    }),
    async close() {
      reports.close();
      keys.close();
      await feed?.close();
    },
  };
}

/** Why Latchkey refuses to describe the API, by the status of its response. */
const reasons = new Map([
  [401, "the credential is not valid"],
  [403, "the credential does not have the scope apis:read"],
  [404, "the audience is not a registered API, or the address is not that of Latchkey"],
]);

type Scopes = readonly string[] | undefined;

const then = <A, B>(value: A | Promise<A>, next: (value: A) => B): B | Promise<B> =>
  value instanceof Promise ? value.then(next) : next(value);
