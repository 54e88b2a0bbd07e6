/** A server in place of Latchkey that answers a verifier as a test wants: in the end, the verifier trusts whoever answers. */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { calculateJwkThumbprint, type JWK } from "jose";
import { listen } from "./ports.ts";

export const audience = "https://orders.example/v1";

export type SigningKey = { kid: string; alg: string; jwk: JWK; sign(input: string): Buffer };

const kinds = {
  EdDSA: () => generateKeyPairSync("ed25519"),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

export async function signingKey(alg: keyof typeof kinds = "ES256"): Promise<SigningKey> {
  const { publicKey, privateKey } = kinds[alg]();
  const jwk = publicKey.export({ format: "jwk" }) as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, alg, jwk: { ...jwk, kid, alg, use: "sig" }, sign: (input) => signInput(alg, privateKey, input) };
}

function signInput(alg: string, key: KeyObject, input: string): Buffer {
  const hash = alg === "EdDSA" ? null : "sha256";
  return sign(hash, Buffer.from(input), alg === "ES256" ? { key, dsaEncoding: "ieee-p1363" } : key);
}

export const encode = (part: unknown): string => Buffer.from(JSON.stringify(part)).toString("base64url");

/** Signs a token that a verifier for `issuer` and `audience` accepts, except for the changes. */
export function signedToken(key: SigningKey, issuer: string, claims: object = {}, header: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const defaults = {
    iss: issuer,
    aud: audience,
    sub: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b",
    client_id: "latchkey",
    username: "miguel",
    iat: now,
    exp: now + 600,
    jti: randomUUID(),
    epoch: 0,
    scope: "orders:read",
    roles: [],
    epochs: { "role:default": 1 },
  };
  const input = `${encode({ alg: key.alg, typ: "at+jwt", kid: key.kid, ...header })}.${encode({ ...defaults, ...claims })}`;
  return `${input}.${key.sign(input).toString("base64url")}`;
}

export type FakeRequest = {
  path: string;
  query: Record<string, string>;
  form: Record<string, string>;
  authorization: string | undefined;
  incoming: IncomingMessage;
};
/** Returns the JSON of the response, or writes the response itself and returns nothing. */
export type FakeAnswer = (request: FakeRequest, response: ServerResponse) => unknown;

export type Entry = { subject: string; minimum_epoch: number; expires_at: string };

export type FakeLatchkey = {
  url: string;
  /** All requests so far. */
  requests: FakeRequest[];
  /** The answers by path. Tests replace them. */
  answers: Record<"/.well-known/jwks.json" | "/api/revocations" | "/oauth/introspect", FakeAnswer>;
  /** Adds an entry to the list, and answers the held requests. */
  revoke(subject: string, minimumEpoch?: number, expiresAt?: string): void;
  entries: Entry[];
  /** Resolves when this number of requests of a path have come since the start. */
  untilRequested(path: string, count: number): Promise<void>;
  /** Resolves when a verifier has read all entries. */
  untilRead(): Promise<void>;
};

/** Starts a server that answers as Latchkey does until a test replaces an answer. */
export async function startFakeLatchkey(keys: readonly SigningKey[]): Promise<FakeLatchkey> {
  const requests: FakeRequest[] = [];
  const entries: Entry[] = [];
  const held = new Set<() => void>();
  const observers = new Set<() => void>();

  const answers: FakeLatchkey["answers"] = {
    "/.well-known/jwks.json": () => ({ keys: keys.map(({ jwk }) => jwk) }),
    "/oauth/introspect": () => ({ active: false }),
    "/api/revocations": async ({ query, incoming }) => {
      const receivedMs = performance.now();
      const after = Number(query["after"] ?? 0);
      const waitMs = Number(query["wait"] ?? 0) * 1000;
      if (after >= entries.length && waitMs > 0) {
        await new Promise<void>((resolve) => {
          const end = () => {
            clearTimeout(timer);
            held.delete(end);
            resolve();
          };
          const timer = setTimeout(end, waitMs);
          held.add(end);
          incoming.socket.once("close", end);
        });
      }
      return page(entries.slice(after), String(entries.length), performance.now() - receivedMs);
    },
  };

  const server = createServer(async (incoming, response) => {
    const { pathname, searchParams } = new URL(incoming.url ?? "/", "http://fake");
    const form = Object.fromEntries(new URLSearchParams(await text(incoming)));
    const { authorization } = incoming.headers;
    const request = { path: pathname, query: Object.fromEntries(searchParams), form, authorization, incoming };
    requests.push(request);
    for (const observe of observers) observe();
    const route = answers[pathname as keyof typeof answers] ?? raw(404);
    const answer = await route(request, response);
    if (response.writableEnded || response.headersSent || answer === undefined) return;
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
  });
  const port = await listen(server);

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    answers,
    entries,
    revoke(subject, minimumEpoch = 2_147_483_647, expiresAt = new Date(Date.now() + 3_600_000).toISOString()) {
      entries.push({ subject, minimum_epoch: minimumEpoch, expires_at: expiresAt });
      for (const end of held) end();
    },
    untilRequested: (path, count) => until(() => requests.filter((request) => request.path === path).length >= count),
    untilRead: () => until(() => requests.some(({ query }) => Number(query["after"] ?? -1) >= entries.length)),
  };

  function until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const observe = () => {
        if (!isTrue()) return;
        observers.delete(observe);
        resolve();
      };
      observers.add(observe);
      observe();
    });
  }
}

/** A page of the revocation list that was complete at the time of the response. */
export const page = (entries: readonly Entry[], next: string, completeAtOffsetMs = 0, hasMore = false) => ({
  entries,
  next,
  has_more: hasMore,
  complete_at_offset_ms: completeAtOffsetMs,
});

/** Answers with a status and a body that may be anything. */
export const raw =
  (status: number, body: string | Buffer = "", headers: Record<string, string> = {}): FakeAnswer =>
  (_request, response) =>
    void response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(body);

/** Never answers. */
export const silence: FakeAnswer = () => undefined;
