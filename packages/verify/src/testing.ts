/** `@latchkey/verify/testing`: tokens and API keys for the tests of your service, without a Latchkey. */
import { generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import { checksumOf } from "./apiKeys.ts";
import { type Fetch, isObject, maxEpoch, parseJson } from "./json.ts";
import type { Verifier, VerifierOptions } from "./options.ts";
import { createVerifier } from "./verifier.ts";

export type TestIssuerOptions = {
  /** By default `https://api.example`. */
  audience?: string;
  /** By default `https://latchkey.example`. Nothing is requested from there. */
  issuer?: string;
  /** The scopes that are registered for the API. Without them, a contract guard does not check the scopes of the contract. */
  registeredScopes?: readonly string[];
};

export type TestCredential = {
  /** What the credential allows. By default, nothing. */
  scopes?: readonly string[];
  userId?: string;
  username?: string;
  roles?: readonly string[];
  /** The remaining lifetime, by default 600 seconds for a token and no limit for a key. A negative one has expired. */
  lifetimeSeconds?: number;
};

export type TestToken = TestCredential & {
  /** The id of a client that acts for itself. Then the token has no user. */
  clientId?: string;
  sessionId?: string;
  /** Replaces claims, or adds some. A claim that is `undefined` is left out. */
  claims?: Readonly<Record<string, unknown>>;
};

/** Takes the place of Latchkey: issues credentials, and verifies them. */
export type TestIssuer = {
  issuer: string;
  audience: string;
  /** Give it to your service in place of its own. */
  verifier: Verifier;
  issueTestToken(token?: TestToken): string;
  issueTestApiKey(key?: TestCredential): string;
  /** Revokes a token or an API key. Resolves when `verifier` knows. */
  revoke(credential: string): Promise<void>;
  /**
   * For a service that makes its verifier itself: `createVerifier({ ...yourOptions, ...options })`. A contract guard with it needs
   * `registeredScopes`.
   */
  options: Pick<VerifierOptions, "issuer" | "audience" | "credential" | "fetch">;
};

const userId = "00000000-0000-4000-8000-000000000001";
const directClient = "latchkey";

/** Makes an issuer with a key of its own. */
export function createTestIssuer(options: TestIssuerOptions = {}): TestIssuer {
  const { issuer = "https://latchkey.example", audience = "https://api.example", registeredScopes } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const kid = randomBytes(32).toString("base64url");
  const keySet = { keys: [{ ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg: "ES256" }] };
  const apiKeys = new Map<string, { id: string; key: TestCredential; isRevoked: boolean }>();
  const feed = createTestFeed();

  const issueTestToken = (token: TestToken = {}): string => {
    const issuedAt = Math.floor(Date.now() / 1000);
    const user = {
      sub: token.userId ?? userId,
      client_id: directClient,
      username: token.username ?? "miguel",
      sid: token.sessionId,
      roles: token.roles ?? [],
      epochs: {},
    };
    const client = { sub: token.clientId, client_id: token.clientId, epochs: { [`client:${token.clientId}`]: 1 } };
    const claims = {
      iss: issuer,
      aud: audience,
      ...(token.clientId === undefined ? user : client),
      iat: Math.min(issuedAt, issuedAt + (token.lifetimeSeconds ?? 0)),
      exp: issuedAt + (token.lifetimeSeconds ?? 600),
      jti: randomUUID(),
      epoch: 0,
      scope: (token.scopes ?? []).join(" "),
      ...token.claims,
    };
    const input = `${encode({ alg: "ES256", typ: "at+jwt", kid })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return `${input}.${signature.toString("base64url")}`;
  };

  const introspect = (text: string): object => {
    const found = apiKeys.get(text);
    if (!found || found.isRevoked) return { active: false };
    const { id, key } = found;
    return {
      active: true,
      token_type: "api_key",
      iss: issuer,
      aud: audience,
      sub: key.userId ?? userId,
      client_id: directClient,
      username: key.username ?? "miguel",
      scope: (key.scopes ?? []).join(" "),
      roles: key.roles ?? [],
      api_key_id: id,
      revocation_subjects: [id],
      ...(key.lifetimeSeconds !== undefined && { exp: Math.floor(Date.now() / 1000) + key.lifetimeSeconds }),
    };
  };

  const fetch: Fetch = async (input, init) => {
    const { pathname, searchParams } = new URL(String(input));
    if (pathname.endsWith("/.well-known/jwks.json")) return Response.json(keySet);
    if (pathname.includes("/api/apis/") && registeredScopes)
      return Response.json({ scopes: registeredScopes.map((name) => ({ name })) });
    if (pathname.endsWith("/api/revocations")) return Response.json(await feed.read(searchParams, init?.signal));
    const form = new URLSearchParams(String(init?.body));
    if (pathname.endsWith("/oauth/introspect")) return Response.json(introspect(form.get("token") ?? ""));
    return new Response(null, { status: 404 });
  };

  const verifierOptions = { issuer, audience, credential: "test", fetch };
  return {
    issuer,
    audience,
    options: verifierOptions,
    verifier: {
      ...createVerifier(verifierOptions),
      registeredScopes: async () => registeredScopes && new Set(registeredScopes),
    },
    issueTestToken,
    issueTestApiKey(key = {}) {
      const checked = `lk_0${Array.from(randomBytes(42), (byte) => byte % 10).join("")}`;
      const text = `${checked}${checksumOf(checked)}`;
      apiKeys.set(text, { id: randomUUID(), key, isRevoked: false });
      return text;
    },
    revoke(credential) {
      const key = apiKeys.get(credential);
      if (key) key.isRevoked = true;
      return feed.revoke(key ? key.id : tokenIdOf(credential));
    },
  };
}

let shared: TestIssuer | undefined;
const sharedIssuer = (): TestIssuer => {
  shared ??= createTestIssuer();
  return shared;
};

/** Issues a token of an issuer that all tests of a process share. `testVerifier` trusts it. */
export const issueTestToken = (token?: TestToken): string => sharedIssuer().issueTestToken(token);

/** The verifier of the issuer that all tests of a process share. */
export const testVerifier = (): Verifier => sharedIssuer().verifier;

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");

/** @throws {Error} if the text is not a token */
function tokenIdOf(token: string): string {
  const claims = parseJson(Buffer.from(token.split(".")[1] ?? "", "base64url"));
  if (!isObject(claims) || typeof claims["jti"] !== "string")
    throw new Error("This is not a token of the test issuer.");
  return claims["jti"];
}

/** A revocation list, with the entries in the order of the revocations. A cursor is the number of entries before it. */
function createTestFeed() {
  const entries: { subject: string; minimum_epoch: number; expires_at: string }[] = [];
  /** Called when there is a new entry. */
  const held = new Set<() => void>();
  /** Called with the cursor of each request. */
  const observers = new Set<(after: number) => void>();

  const untilNews = (seconds: number, signal: AbortSignal | null | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        held.delete(end);
        resolve();
      };
      const timer = setTimeout(end, seconds * 1000);
      timer.unref();
      held.add(end);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });

  return {
    async read(query: URLSearchParams, signal: AbortSignal | null | undefined): Promise<object> {
      const startedMs = performance.now();
      const after = Number(query.get("after") ?? 0);
      for (const observe of observers) observe(after);
      if (after >= entries.length) await untilNews(Number(query.get("wait") ?? 0), signal);
      return {
        entries: entries.slice(after),
        next: String(entries.length),
        has_more: false,
        complete_at_offset_ms: performance.now() - startedMs,
      };
    },
    /** Resolves when each request that is held now has been answered and repeated. If none is held, waits for one. */
    revoke(subject: string): Promise<void> {
      const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
      entries.push({ subject, minimum_epoch: maxEpoch, expires_at: expiresAt });
      const position = entries.length;
      let missing = Math.max(1, held.size);
      return new Promise((resolve) => {
        const observe = (after: number) => {
          if (after < position) return;
          missing -= 1;
          if (missing > 0) return;
          observers.delete(observe);
          resolve();
        };
        observers.add(observe);
        for (const end of held) end();
      });
    },
  };
}
