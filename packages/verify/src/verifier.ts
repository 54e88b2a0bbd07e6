/** The verifier: decides about each credential, from memory if it was verified before. */
import { type Credential, parseCredential } from "./authorization.ts";
import { type Fetch, fetchJson, isObject } from "./json.ts";
import { watchKeySet } from "./keySet.ts";
import type { Principal } from "./principal.ts";
import { type CreateRefusal, refusals } from "./refusal.ts";
import { createRemembered } from "./remembered.ts";
import { isAlgorithmOf, type VerificationKey } from "./signature.ts";
import { type ParsedToken, parseToken } from "./token.ts";

export type VerifierOptions = {
  /** The `PUBLIC_URL` of Latchkey, exactly as tokens name it in `iss`. */
  issuer: string;
  /** The audience of your API, as it is registered in Latchkey. */
  audience: string;
  /**
   * An API key of Latchkey whose user has the scopes `revocations:read`, `tokens:introspect` and `apis:read`. Without it, revoked
   * tokens are accepted until they expire, and API keys are refused.
   */
  credential?: string;
  /** The address at which this service reaches Latchkey. By default, the issuer. */
  url?: string;
  /** How long credentials are still accepted while new revocations may be unknown. By default, 10 seconds. */
  maxStalenessSeconds?: number;
  /** Whether credentials are refused (the default) or accepted after `maxStalenessSeconds`. */
  onStale?: "refuse" | "accept";
  /** The number of credentials that are remembered. By default 20,000. Each takes about 2 KB. */
  maxRemembered?: number;
  /** Called when a request to Latchkey fails after it succeeded. By default, a line is written to standard error. */
  onError?: (error: Error) => void;
  /** Replaces the global `fetch`. */
  fetch?: Fetch;
};

export type VerifyOptions = {
  /** The scopes that the request needs, all of them. */
  scopes?: readonly string[];
};

export type Verifier = {
  readonly issuer: string;
  readonly audience: string;
  /**
   * Verifies the credential of a request.
   * @param authorization the value of the `Authorization` header
   * @returns the caller. Without a promise if the credential was verified before: use `await`
   * @throws {Refusal} nothing else
   */
  verify(authorization: string | null | undefined, options?: VerifyOptions): Principal | Promise<Principal>;
  /**
   * Resolves when the keys and, with a credential, the revocations are known. Await it before you listen.
   * @throws {Error} if Latchkey rejects the credential, or the verifier is closed
   */
  ready(): Promise<void>;
  /**
   * The scopes of your API that are registered in Latchkey.
   * @returns `undefined` without a credential
   * @throws {Error} if Latchkey does not respond, or does not know the audience
   */
  registeredScopes(): Promise<ReadonlySet<string> | undefined>;
  /** A refusal like those of Latchkey, for checks of your own. */
  refusal: CreateRefusal;
  /** For metrics. */
  counters(): Counters;
  /** Stops all requests to Latchkey. */
  close(): Promise<void>;
};

export type Counters = {
  /** Credentials in memory. */
  remembered: number;
};

const everybody = "everybody";
const clockSkewMs = 60_000;

/** Makes a verifier, which begins to request the keys and the revocations. @throws {TypeError} for a wrong option */
export function createVerifier(options: VerifierOptions): Verifier {
  const { issuer, audience, fetch = globalThis.fetch, maxRemembered = 20_000 } = options;
  const url = (options.url ?? issuer).replace(/\/$/, "");
  const refusal = refusals(issuer.replace(/\/$/, ""));
  const remembered = createRemembered(maxRemembered, everybody);
  const keys = watchKeySet({
    url: `${url}/.well-known/jwks.json`,
    fetch,
    onRemoved: (kid) => remembered.forgetAll(({ subjects }) => subjects.includes(kid)),
    onOutcome: () => {},
  });

  const withScopes = (principal: Principal, scopes: readonly string[] | undefined): Principal => {
    if (scopes === undefined || scopes.every((scope) => principal.scopes.has(scope))) return principal;
    throw refusal("insufficient-scope", { missingScopes: scopes.filter((scope) => !principal.scopes.has(scope)) });
  };

  const verifyWith = async (
    key: VerificationKey | undefined,
    token: string,
    parsed: ParsedToken,
  ): Promise<Principal> => {
    const { alg, kid, signedInput, signature, claims } = parsed;
    if (!key || !isAlgorithmOf(key.algorithm, alg) || !(await key.verify(signedInput, signature))) {
      throw refusal("invalid-token");
    }
    const { principal, issuedAt, notBefore, expiresAt, epoch, epochs } = claims;
    const nowMs = Date.now();
    const validFromMs = Math.max(issuedAt, notBefore) * 1000 - clockSkewMs;
    if (validFromMs > nowMs) throw refusal("invalid-token");
    if (expiresAt * 1000 <= nowMs) throw refusal("token-expired");
    remembered.add({
      authorization: `Bearer ${token}`,
      principal,
      validFromMs,
      expiresAtMs: expiresAt * 1000,
      subjects: [kid, ...epochs.keys()],
      isEndedBy: ({ minimumEpoch }) => epoch < minimumEpoch,
    });
    return principal;
  };

  const verifyCredential = async ({ kind, text }: Credential): Promise<Principal> => {
    if (kind === "api-key") throw refusal("invalid-token", { detail: "This service does not accept an API key." });
    const parsed = parseToken(text, issuer, audience);
    if (!parsed) throw refusal("invalid-token");
    let key: VerificationKey | undefined;
    try {
      key = await keys.find(parsed.kid);
    } catch (cause) {
      throw refusal("verification-unavailable", { cause });
    }
    return verifyWith(key, text, parsed);
  };

  return {
    issuer,
    audience,
    refusal,
    verify(authorization, { scopes } = {}) {
      const nowMs = Date.now();
      const known = typeof authorization === "string" ? remembered.find(authorization) : undefined;
      if (known && known.expiresAtMs > nowMs && known.validFromMs <= nowMs) return withScopes(known.principal, scopes);
      return verifyCredential(parseCredential(authorization, refusal)).then((found) => withScopes(found, scopes));
    },
    ready: () => keys.loaded,
    async registeredScopes() {
      if (options.credential === undefined) return undefined;
      const api = await fetchJson(fetch, `${url}/api/apis/${encodeURIComponent(audience)}`, {
        headers: { Authorization: `Bearer ${options.credential}` },
        idleTimeoutMs: 5_000,
        timeoutMs: 10_000,
        maxBytes: 1_048_576,
      });
      if (!isObject(api) || !Array.isArray(api["scopes"])) throw new Error("Latchkey did not respond with an API.");
      const names = api["scopes"].map((scope: unknown) => (isObject(scope) ? scope["name"] : undefined));
      return new Set(names.filter((name) => typeof name === "string"));
    },
    counters: () => ({ remembered: remembered.size() }),
    async close() {
      keys.close();
    },
  };
}
