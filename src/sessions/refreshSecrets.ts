/**
 * Refresh tokens: `id.secret`. The secret of each generation of a session is derived from a key that
 * only the service has (out of `SECRET_KEY`) and a seed that only the session's row has:
 *
 * - the same successor can be given twice without being stored: it is derived again;
 * - a token of long ago can be told from a guess, though nothing is kept of it: a guess has another
 *   derivation. A stranger who knows the id of a session cannot end it by guessing.
 *
 * Whether a token is the one to be used next is decided by the SHA-256 digest in the row. The digest alone is not enough:
 * a token that was derived under a key which has been retired is refused, since whoever has that key and a copy of the
 * seed can derive it, too.
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

/** A refresh token that has the right form: whether it is one of ours is not said. */
export type PresentedToken = { sessionId: string; generation: number; secret: string };

export type RefreshSecrets = {
  newSeed(): Buffer;
  /** The secret of a generation of a session. */
  derive(sessionId: string, seed: Buffer, generation: number): string;
  /**
   * The same under whichever key gave this digest.
   * @returns `undefined` where none did
   */
  deriveMatching(sessionId: string, seed: Buffer, generation: number, digest: Buffer): string | undefined;
  /** Whether a token was issued by us, under one of the keys that are configured now. */
  isGenuine(token: PresentedToken, seed: Buffer): boolean;
};

/** @param secretKeys the present one, then those before it, whose tokens are still accepted. Tokens of any other are not. */
export function refreshSecrets(secretKeys: readonly [string, ...string[]]): RefreshSecrets {
  // As KeyObjects: of a Buffer, Node would make one for each use.
  const keys = secretKeys.map((secretKey) =>
    createSecretKey(Buffer.from(hkdfSync("sha256", secretKey, "", "latchkey refresh tokens", 32))),
  );
  const deriveWith = (key: KeyObject, sessionId: string, seed: Buffer, generation: number): string => {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(generation);
    const code = createHmac("sha256", key).update(sessionId).update(number).update(seed).digest();
    return Buffer.concat([number, code]).toString("base64url");
  };
  const [present] = keys as [KeyObject];
  return {
    newSeed: () => randomBytes(32),
    derive: (sessionId, seed, generation) => deriveWith(present, sessionId, seed, generation),
    deriveMatching: (sessionId, seed, generation, digest) =>
      keys.map((key) => deriveWith(key, sessionId, seed, generation)).find((secret) => digestOf(secret).equals(digest)),
    isGenuine: ({ sessionId, generation, secret }, seed) =>
      keys.some((key) => isSame(deriveWith(key, sessionId, seed, generation), secret)),
  };
}

/** What is stored of a secret. It has 256 bits of its own, so a plain hash hides it. */
export const digestOf = (secret: string): Buffer => createHash("sha256").update(secret).digest();

export const formatToken = (sessionId: string, secret: string): string => `${sessionId}.${secret}`;

/** The largest `integer` of Postgres has no successor. */
const mostGenerations = 2_147_483_646;

/** @returns `undefined` for what cannot be a refresh token. */
export function parseToken(text: string): PresentedToken | undefined {
  const [, sessionId, secret] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([\w-]{48})$/.exec(text) ?? [];
  if (sessionId === undefined || secret === undefined) return undefined;
  const generation = Buffer.from(secret, "base64url").readUInt32BE();
  return generation > mostGenerations ? undefined : { sessionId, secret, generation };
}

const isSame = (a: string, b: string) => timingSafeEqual(digestOf(a), digestOf(b));
