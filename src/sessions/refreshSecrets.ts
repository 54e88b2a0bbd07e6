/**
 * Refresh tokens: `id.secret`. The secret of each generation of a session is derived from a key (from `SECRET_KEY`) and from a
 * seed in the session's row. Therefore:
 *
 * - The same successor can be issued again, although it is not stored.
 * - An old token can be told from a guess, although it is not stored. An attacker who knows a session's id cannot end the session
 *   by guessing.
 *
 * The SHA-256 digest in the row decides whether a token is the expected one. A token that was derived with a retired key is
 * rejected even if its digest matches, because anyone with that key and a copy of the seed can derive it.
 */
import {
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { type SessionId, sessionId as toSessionId } from "../identifiers.ts";

/** A well-formed refresh token, which may be a guess. */
export type PresentedToken = { sessionId: SessionId; generation: number; secret: string };

export type RefreshSecrets = {
  newSeed(): Buffer;
  /** The secret of a generation of a session. */
  derive(sessionId: SessionId, seed: Uint8Array, generation: number): string;
  /**
   * The secret of a generation, derived with the key that gives this digest.
   * @returns `undefined` if no key does
   */
  deriveMatching(sessionId: SessionId, seed: Uint8Array, generation: number, digest: Buffer): string | undefined;
  /** Whether a token was derived with one of the configured keys. */
  isGenuine(token: PresentedToken, seed: Uint8Array): boolean;
};

/** @param secretKeys the current one, then the previous ones, whose tokens are still accepted */
export function refreshSecrets(secretKeys: readonly [string, ...string[]]): RefreshSecrets {
  // From a Buffer, Node would create a KeyObject for each use.
  const keys = secretKeys.map((secretKey) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", secretKey, "", "latchkey refresh tokens", 32))),
  );
  const deriveWith = (key: KeyObject, sessionId: SessionId, seed: Uint8Array, generation: number): string => {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(generation);
    const code = createHmac("sha256", key).update(sessionId).update(number).update(seed).digest();
    return Buffer.concat([number, code]).toString("base64url");
  };
  const [current] = keys as [KeyObject];
  return {
    newSeed: () => randomBytes(32),
    derive: (sessionId, seed, generation) => deriveWith(current, sessionId, seed, generation),
    deriveMatching: (sessionId, seed, generation, digest) =>
      keys.map((key) => deriveWith(key, sessionId, seed, generation)).find((secret) => digestOf(secret).equals(digest)),
    isGenuine: ({ sessionId, generation, secret }, seed) =>
      keys.some((key) => isSame(deriveWith(key, sessionId, seed, generation), secret)),
  };
}

/** The stored form of a secret. A secret has 256 random bits, so a hash without salt and stretching hides it. */
export const digestOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

export const formatToken = (sessionId: SessionId, secret: string): string => `${sessionId}.${secret}`;

/** The largest `integer` of Postgres has no successor. */
const maxGeneration = 2_147_483_646;

/** @returns `undefined` for a text that is not a well-formed refresh token */
export function parseToken(text: string): PresentedToken | undefined {
  const [, sessionId, secret] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\w-]{48})$/.exec(text) ?? [];
  if (sessionId === undefined || secret === undefined) return undefined;
  const generation = Buffer.from(secret, "base64url").readUInt32BE();
  return generation > maxGeneration ? undefined : { sessionId: toSessionId(sessionId), secret, generation };
}

/** Both have the length of a secret. */
const isSame = (a: string, b: string) => timingSafeEqual(Buffer.from(a), Buffer.from(b));
