/** The algorithms that sign tokens (RFC 7518, section 3; RFC 8037, section 3.1), and their public keys. */
import { type KeyObject, sign } from "node:crypto";
import type { JWK } from "jose";
import type { components } from "../../generated/openapi.ts";

export type PublicJwk = components["schemas"]["Jwk"];
export type SigningAlgorithm = PublicJwk["alg"];

/** For a database without keys. Nearly every verifier accepts it, and it is the fastest (docs/decisions/0018-es256.md). */
export const defaultAlgorithm: SigningAlgorithm = "ES256";

/**
 * For RS256. NIST SP 800-131A accepts 2048 bits until the end of 2030, and a key signs for weeks. A signature of 3072 bits takes
 * six times as long, 1.3 ms in which the event loop is blocked.
 */
export const rsaModulusBits = 2048;

const signatures: Record<SigningAlgorithm, (input: Buffer, key: KeyObject) => Buffer> = {
  ES256: (input, key) => sign("sha256", input, { key, dsaEncoding: "ieee-p1363" }),
  EdDSA: (input, key) => sign(null, input, key),
  RS256: (input, key) => sign("sha256", input, key),
};

/** @throws {Error} if this version does not know the algorithm */
export function toSigningAlgorithm(name: string): SigningAlgorithm {
  if (isSigningAlgorithm(name)) return name;
  throw new Error(`This version does not know the signing algorithm ${name}.`);
}

const isSigningAlgorithm = (name: string): name is SigningAlgorithm => Object.hasOwn(signatures, name);

/**
 * Signs in this thread. Not with jose: it signs in libuv's thread pool, where password hashes are computed. Handing a signature over
 * and back takes about as long as signing with ES256.
 */
export const signWith = (algorithm: SigningAlgorithm, input: Buffer, key: KeyObject): Buffer =>
  signatures[algorithm](input, key);

/**
 * The public half of a private key, with the algorithm that its type determines: a key verifies no other algorithm.
 * @throws {Error} if this version does not know the type
 */
export function publicHalf(kid: string, { kty, crv, x = "", y = "", n = "", e = "" }: JWK): PublicJwk {
  const use = "sig";
  if (kty === "EC" && crv === "P-256") return { kty: "EC", crv, alg: "ES256", use, kid, x, y };
  if (kty === "OKP" && crv === "Ed25519") return { kty: "OKP", crv, alg: "EdDSA", use, kid, x };
  if (kty === "RSA") return { kty: "RSA", alg: "RS256", use, kid, n, e };
  throw new Error("This version does not know the type of this signing key.");
}
