/** Access tokens: signed JWTs (RFC 9068) that say who the user is and until when. */
import { randomUUID } from "node:crypto";
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from "jose";
import QuickLRU from "quick-lru";
import { z } from "zod";
import {
  keyId,
  type SessionId,
  storedUsername,
  tokenId,
  sessionId as toSessionId,
  userId as toUserId,
} from "../identifiers.ts";
import type { Caller, TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { everyEpoch } from "../revocations/revocations.ts";
import type { SigningKeys, VerificationKey } from "./signingKeys.ts";

/** The present time, passed in so that a test can be in the future. */
export type Clock = () => Date;

export type AccessTokens = {
  ttlSeconds: number;
  /**
   * @param sessionId the session that ends this token with it, if any
   * @param seconds how long it works, where that is not as long as usual
   */
  issue(caller: Caller, sessionId?: SessionId, seconds?: number): Promise<string>;
  /**
   * Verifies everything that the token itself can tell; whether it was revoked is asked elsewhere. A token that was
   * verified before needs no promise.
   * @throws {Problem} `invalid-token`, or `token-expired` for one that is ours in everything else
   */
  verify(token: string): TokenPrincipal | Promise<TokenPrincipal>;
};

/**
 * Issuer and audience of tokens without `PUBLIC_URL`. A URL, as RFC 9068 and RFC 8414 have it, where a service with its
 * default settings is reached; it stays the same on every port, so that instances accept each other's tokens and a token
 * survives a restart.
 */
export const defaultIssuer = "http://127.0.0.1:8080";

/** What an earlier version issued without `PUBLIC_URL`. Those tokens work until they expire. */
const formerDefaultIssuer = "latchkey";

/**
 * The client that a token is issued to (RFC 9068, section 2.2). Users take tokens with their own password, for whatever
 * program they use: to the service, all of these are one client, its own.
 */
const clientId = "latchkey";

/** @param issuer is issuer and audience: the tokens are for this service. */
export function accessTokens(keys: SigningKeys, issuer: string, ttlSeconds: number, clock: Clock): AccessTokens {
  const accepted = issuer === defaultIssuer ? [issuer, formerDefaultIssuer] : [issuer];
  // Whoever can read this memory can read the signing key, too: the tokens need no disguise.
  const verified = new QuickLRU<string, Verified>({ maxSize: mostVerified });

  /** What does not change: the signature and the claims. */
  async function verifyOnce(token: string): Promise<Verified> {
    const kid = keyIdOf(token);
    const found = await keys.find(kid);
    if (!found) throw new Problem("invalid-token");
    try {
      const { payload } = await jwtVerify(token, found.key, {
        algorithms: ["EdDSA"],
        issuer: accepted,
        audience: accepted,
        typ: "at+jwt",
        requiredClaims: ["exp", "iat", "jti", "sub"],
        currentDate: clock(),
      });
      const { jti, sid, sub, username, epoch, iat, exp } = claims.parse(payload);
      const principal = {
        proof: "token",
        tokenId: jti,
        keyId: keyId(kid),
        sessionId: sid,
        userId: sub,
        username,
        epoch,
      } as const;
      // Every request with this token is given the same one.
      return { principal: Object.freeze({ ...principal, expiresAt: new Date(exp * 1000) }), issuedAt: iat };
    } catch (cause) {
      // jose looks at `exp` last: the signature was right.
      const payload = cause instanceof errors.JWTExpired ? claims.safeParse(cause.payload).data : undefined;
      throw payload ? expired(new Date(payload.exp * 1000), cause) : new Problem("invalid-token", { cause });
    }
  }

  return {
    ttlSeconds,

    issue({ userId, username, epoch }, sessionId, seconds = ttlSeconds) {
      const { kid, key } = keys.signing();
      const issuedAt = Math.floor(clock().getTime() / 1000);
      return new SignJWT({ client_id: clientId, username, epoch, ...(sessionId && { sid: sessionId }) })
        .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid })
        .setIssuer(issuer)
        .setAudience(issuer)
        .setSubject(userId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + seconds)
        .setJti(randomUUID())
        .sign(key);
    },

    verify(token) {
      const known = verified.get(token);
      if (known) return requireCurrent(known);
      return verifyOnce(token).then((known) => {
        verified.set(token, known);
        return requireCurrent(known);
      });
    },
  };

  /** Checks what changes: the time, and whether the key may still sign. */
  function requireCurrent({ principal, issuedAt }: Verified): TokenPrincipal | Promise<TokenPrincipal> {
    const now = Math.floor(clock().getTime() / 1000);
    if (principal.expiresAt.getTime() / 1000 <= now) throw expired(principal.expiresAt);
    // The clock was set back, and so nobody can say whether this has expired.
    if (issuedAt > now + clockSkewSeconds) throw new Problem("invalid-token");
    const key = keys.find(principal.keyId);
    return key instanceof Promise
      ? key.then((found) => requireUsable(found, principal))
      : requireUsable(key, principal);
  }
}

function requireUsable(key: VerificationKey | undefined, principal: TokenPrincipal): TokenPrincipal {
  if (!key) throw new Problem("invalid-token");
  if (key.isRevoked) throw new Problem("token-revoked");
  return principal;
}

/** A token, as it was found to be good but for its time. */
type Verified = {
  principal: TokenPrincipal;
  /** Seconds since 1970. */
  issuedAt: number;
};

/** Beyond it the tokens not seen for longest are verified anew. Twice as many may be held, of about 1 KB each. */
const mostVerified = 10_000;

/** By so much a token may seem to have been issued in the future, by an instance that learned the time a little earlier. */
const clockSkewSeconds = 60;

/** Until the end of the year 9999: what every date, here and in Postgres, can express. */
const numericDate = z.int().min(0).max(253_402_300_799);

const claims = z.object({
  client_id: z.literal(clientId).optional(), // an earlier version left it out
  jti: z.uuid().transform(tokenId),
  sid: z.uuid().transform(toSessionId).optional(),
  iat: numericDate,
  exp: numericDate,
  sub: z.uuid().transform(toUserId),
  username: z.string().transform(storedUsername),
  epoch: z.int().nonnegative().max(everyEpoch),
});

const expired = (at: Date, cause?: unknown) =>
  new Problem("token-expired", { detail: `The token expired at ${at.toISOString()}.`, cause });

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
