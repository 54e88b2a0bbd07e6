/** Verifies DPoP proofs: the sender of a request has the private key to which a token is bound (RFC 9449, section 4). */
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, type JWTVerifyGetKey, type JWTVerifyResult, jwtVerify } from "jose";
import { z } from "zod";
import { isCanonicalJws } from "../lib/compactJws.ts";
import { hasSecretPart, isQuickToVerify } from "../lib/jwk.ts";
import { dpopAlgorithms } from "../openapi/guard.ts";
import type { PresentedProof } from "../requestContext.ts";
import type { UsedProofs } from "./usedProofs.ts";

/**
 * Verifies the proof of a request, and uses it up.
 * @param bound the access token that the request presents, and the thumbprint of its key. The proof must be for them
 * @returns the thumbprint of the key (RFC 7638) with SHA-256; `undefined` if the proof is not valid, or was used before
 * @throws {Problem} `database-unavailable`
 */
export type VerifyDpopProof = (
  proof: PresentedProof,
  bound?: { accessToken: string; thumbprint: string },
) => Promise<string | undefined>;

/** How old a proof may be, and how far in the future: the clock of the client may be wrong. */
const maxAgeSeconds = 60;
/** The clocks of two instances, which follow that of the database, differ by less. */
const instancesSeconds = 60;
/** A proof with an RSA key of 4096 bits is half as long. */
const maxProofLength = 4096;

const claimsOfProof = z.object({
  jti: z.string().min(1).max(256),
  htm: z.string(),
  htu: z.string(),
  iat: z.number(),
  ath: z.string().optional(),
});

type Parts = {
  /** The base URL of this service. The URL of each request begins with it. */
  issuer: string;
  usedProofs: UsedProofs;
  /** The time of the database. */
  clock: () => Date;
};

export function createDpop({ issuer, usedProofs, clock }: Parts): VerifyDpopProof {
  return async ({ text, method, path }, bound) => {
    const verified = await verifySignature(text, clock());
    const { jwk } = verified?.protectedHeader ?? {};
    const { data: claims } = claimsOfProof.safeParse(verified?.payload);
    if (!jwk || !claims || hasSecretPart(jwk)) return undefined;
    if (claims.htm !== method || !isSameUrl(claims.htu, issuer + path)) return undefined;
    if (Math.abs(clock().getTime() / 1000 - claims.iat) > maxAgeSeconds) return undefined;
    const thumbprint = await calculateJwkThumbprint(jwk);
    if (bound && (thumbprint !== bound.thumbprint || claims.ath !== digestOf(bound.accessToken))) return undefined;
    const expiresAt = new Date((claims.iat + maxAgeSeconds + instancesSeconds) * 1000);
    const isNew = await usedProofs.use({ kind: "dpop", owner: thumbprint, id: claims.jti, expiresAt });
    return isNew ? thumbprint : undefined;
  };
}

/** Two proofs in one request are joined with a comma, and are therefore no JWS. */
async function verifySignature(text: string, now: Date): Promise<JWTVerifyResult | undefined> {
  if (text.length > maxProofLength || !isCanonicalJws(text)) return undefined;
  const options = { algorithms: [...dpopAlgorithms], typ: "dpop+jwt", currentDate: now };
  return jwtVerify(text, embeddedKey, options).catch(() => undefined);
}

/**
 * Returns the key in the proof's header. Rejects a key with which verification takes too long: anyone can send a proof, and the
 * proof is checked before the rest of the request.
 */
const embeddedKey: JWTVerifyGetKey = async (header, token) => {
  if (header.jwk && !isQuickToVerify(header.jwk)) throw new Error("the key takes too long");
  return EmbeddedJWK(header, token);
};

const digestOf = (accessToken: string): string => createHash("sha256").update(accessToken).digest("base64url");

/** Compares URLs after normalization (RFC 3986, sections 6.2.2 and 6.2.3), without query and fragment. */
function isSameUrl(htu: string, expected: string): boolean {
  return URL.canParse(htu) && normalized(htu) === normalized(expected);
}

function normalized(text: string): string {
  const url = new URL(text);
  url.search = "";
  url.hash = "";
  return url.href.replace(/%[0-9a-f]{2}/gi, (escaped) => {
    const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    return /[\w.~-]/.test(character) ? character : escaped.toUpperCase();
  });
}
