/** DPoP proofs (RFC 9449), as a client makes them. */

import type { webcrypto } from "node:crypto";
import { createHash, randomUUID } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export type ProofKey = { privateKey: webcrypto.CryptoKey; jwk: JWK; thumbprint: string; alg: string };

/** Makes a key of a client. */
export async function newProofKey(alg = "ES256"): Promise<ProofKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, jwk, thumbprint: await calculateJwkThumbprint(jwk), alg };
}

/** `undefined` leaves a member out. */
export type ProofChanges = { header?: Record<string, unknown>; claims?: Record<string, unknown> };

/** Signs a proof for one request. @param token the access token that the request presents, if any */
export async function proofFor(
  key: ProofKey,
  request: { method: string; url: string; token?: string },
  { header = {}, claims = {} }: ProofChanges = {},
): Promise<string> {
  const { method, url, token } = request;
  const ath = token === undefined ? {} : { ath: createHash("sha256").update(token).digest("base64url") };
  const iat = Math.floor(Date.now() / 1000);
  return new SignJWT({ htm: method, htu: url, jti: randomUUID(), iat, ...ath, ...claims })
    .setProtectedHeader({ typ: "dpop+jwt", alg: key.alg, jwk: key.jwk, ...header })
    .sign(key.privateKey, { crit: { x: true } });
}
