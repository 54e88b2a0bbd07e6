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
 * six times as long.
 */
export const rsaModulusBits = 2048;

/** What `node:crypto` hashes before it signs. Ed25519 hashes by itself (RFC 8032). */
const digests: Record<SigningAlgorithm, string | null> = { ES256: "sha256", EdDSA: null, RS256: "sha256" };

/** @throws {Error} if this version does not know the algorithm */
export function toSigningAlgorithm(name: string): SigningAlgorithm {
  if (isSigningAlgorithm(name)) return name;
  throw new Error(`This version does not know the signing algorithm ${name}.`);
}

const isSigningAlgorithm = (name: string): name is SigningAlgorithm => Object.hasOwn(digests, name);

/** Signs in libuv's thread pool (docs/decisions/0019-signing-threads.md). Password hashes leave threads of it free (hashing.ts). */
export const signWith = (algorithm: SigningAlgorithm, input: Buffer, key: KeyObject): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    // `dsaEncoding` has no effect on keys of other algorithms than ECDSA.
    sign(digests[algorithm], input, { key, dsaEncoding: "ieee-p1363" }, (error, signature) =>
      error ? reject(error) : resolve(signature),
    );
  });

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
