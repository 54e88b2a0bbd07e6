/** ID tokens: who the user is, signed for a client (OpenID Connect Core, section 2). */
import { createHash } from "node:crypto";
import type { CanonicalUsername, ClientId, SessionId, UserId } from "../identifiers.ts";
import { secondsOf } from "../lib/seconds.ts";
import type { SigningAlgorithm } from "../tokens/algorithms.ts";
import type { SigningKeys } from "../tokens/signingKeys.ts";
import { signToken } from "../tokens/signToken.ts";

export type IdTokenContents = {
  clientId: ClientId;
  userId: UserId;
  username: CanonicalUsername;
  /** The scopes that were granted. */
  scopes: readonly string[];
  authenticatedAt: Date;
  /** The nonce of the authorization request. */
  nonce: string | undefined;
  sessionId: SessionId;
  /** The access token that is issued with it. */
  accessToken: string;
  /** The lifetime of that access token. */
  seconds: number;
};

/** Also those of `/oauth/userinfo`. */
export const idTokenClaims = [
  "iss",
  "sub",
  "aud",
  "exp",
  "iat",
  "auth_time",
  "nonce",
  "at_hash",
  "sid",
  "preferred_username",
] as const;

/** @returns a signed ID token; `undefined` if `openid` was not granted */
export type IssueIdToken = (contents: IdTokenContents) => Promise<string | undefined>;

type Parts = {
  keys: Pick<SigningKeys, "signing">;
  issuer: string;
  clock: () => Date;
};

export const createIdTokens =
  ({ keys, issuer, clock }: Parts): IssueIdToken =>
  async ({ clientId, userId, username, scopes, authenticatedAt, nonce, sessionId, accessToken, seconds }) => {
    if (!scopes.includes("openid")) return undefined;
    const { kid, algorithm, key } = keys.signing();
    const issuedAt = secondsOf(clock());
    const claims = {
      iss: issuer,
      sub: userId,
      aud: clientId,
      iat: issuedAt,
      exp: issuedAt + seconds,
      auth_time: secondsOf(authenticatedAt),
      nonce,
      at_hash: accessTokenHash(accessToken, algorithm),
      sid: sessionId,
      ...(scopes.includes("profile") && { preferred_username: username }),
    };
    // RFC 8725, section 3.11: access tokens have another type, so neither token can be used as the other.
    return signToken({ alg: algorithm, typ: "JWT", kid }, claims, key);
  };

/**
 * The left half of the hash that the algorithm signs (section 3.1.3.6). Ed25519 uses SHA-512 inside (RFC 8032), and clients
 * expect it here as well.
 */
export function accessTokenHash(accessToken: string, algorithm: SigningAlgorithm): string {
  const hash = createHash(algorithm === "EdDSA" ? "sha512" : "sha256")
    .update(accessToken, "ascii")
    .digest();
  return hash.subarray(0, hash.length / 2).toString("base64url");
}
