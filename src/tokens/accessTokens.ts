/** Access tokens: signed JWTs (RFC 9068) that say who the user is and until when. */
import { randomUUID } from "node:crypto";
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { Caller, TokenPrincipal } from "../contract/binding.ts";
import { Problem } from "../contract/problems.ts";
import type { SigningKeys } from "./signingKeys.ts";

/** The present time, passed in so that a test can be in the future. */
export type Clock = () => Date;

export type AccessTokens = {
  ttlSeconds: number;
  /**
   * @param sessionId the session that ends this token with it, if any
   * @param seconds how long it works, where that is not as long as usual
   */
  issue(caller: Caller, sessionId?: string, seconds?: number): Promise<string>;
  /**
   * Verifies everything that the token itself can tell; whether it was revoked is asked elsewhere.
   * @throws {Problem} `invalid-token`, or `token-expired` for one that is ours in everything else
   */
  verify(token: string): Promise<TokenPrincipal>;
};

/** @param issuer is issuer and audience: the tokens are for this service. */
export function accessTokens(keys: SigningKeys, issuer: string, ttlSeconds: number, clock: Clock): AccessTokens {
  return {
    ttlSeconds,

    issue({ userId, username, epoch }, sessionId, seconds = ttlSeconds) {
      const { kid, key } = keys.signing();
      const issuedAt = Math.floor(clock().getTime() / 1000);
      return new SignJWT({ username, epoch, ...(sessionId && { sid: sessionId }) })
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid })
        .setIssuer(issuer)
        .setAudience(issuer)
        .setSubject(userId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + seconds)
        .setJti(randomUUID())
        .sign(key);
    },

    async verify(token) {
      const kid = keyIdOf(token);
      const found = await keys.find(kid);
      if (!found) throw new Problem("invalid-token");
      try {
        const { payload } = await jwtVerify(token, found.key, {
          algorithms: ["EdDSA"],
          issuer,
          audience: issuer,
          typ: "at+jwt",
          requiredClaims: ["exp", "iat", "jti", "sub"],
          currentDate: clock(),
        });
        const { jti, sid, sub, username, epoch, iat, exp } = claims.parse(payload);
        // The clock was set back, and so nobody can say whether this has expired.
        if (iat > clock().getTime() / 1000 + clockSkewSeconds) throw new Problem("invalid-token");
        if (found.isRevoked) throw new Problem("token-revoked");
        return {
          proof: "token",
          tokenId: jti,
          keyId: kid,
          sessionId: sid,
          expiresAt: new Date(exp * 1000),
          userId: sub,
          username,
          epoch,
        };
      } catch (cause) {
        if (cause instanceof Problem) throw cause;
        // jose looks at `exp` last: the signature and every other claim were right.
        if (cause instanceof errors.JWTExpired) throw expired(cause);
        throw new Problem("invalid-token", { cause });
      }
    },
  };
}

/** By so much a token may seem to have been issued in the future, by an instance that learned the time a little earlier. */
const clockSkewSeconds = 60;

const claims = z.object({
  jti: z.uuid(),
  sid: z.uuid().optional(),
  iat: z.int(),
  exp: z.int(),
  sub: z.uuid(),
  username: z.string(),
  epoch: z.int().nonnegative(),
});

const expired = (cause: errors.JWTExpired) =>
  new Problem("token-expired", {
    detail: `The token expired at ${new Date(Number(cause.payload.exp) * 1000).toISOString()}.`,
    cause,
  });

/**
 * Three parts of canonical base64url, and in the first the id of a key. Node's decoder accepts
 * spaces, other alphabets and unused bits, so that one token could be written in many ways.
 */
function keyIdOf(token: string): string {
  const parts = token.split(".");
  const isCanonical = (part: string) => part !== "" && Buffer.from(part, "base64url").toString("base64url") === part;
  if (parts.length !== 3 || !parts.every(isCanonical)) throw new Problem("invalid-token");
  try {
    return thumbprint.parse(decodeProtectedHeader(token).kid);
  } catch (cause) {
    throw new Problem("invalid-token", { cause });
  }
}

/** What the id of a key of ours looks like (RFC 7638 with SHA-256): no other is worth looking for. */
const thumbprint = z.string().regex(/^[\w-]{43}$/);
