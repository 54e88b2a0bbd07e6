/** Access tokens: signed JWTs (RFC 9068). */
import { type KeyObject, randomUUID } from "node:crypto";
import { decodeProtectedHeader, errors, jwtVerify } from "jose";
import QuickLRU from "quick-lru";
import { z } from "zod";
import type { TokenGrant } from "../access/grants.ts";
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
import { maxEpoch } from "../revocations/revocations.ts";
import { type SigningAlgorithm, signWith } from "./algorithms.ts";
import type { TokenLifetime } from "./lifetime.ts";
import type { SigningKeys, VerificationKey } from "./signingKeys.ts";

/** The current time. Tests move it. */
export type Clock = () => Date;

/**
 * Issues a prepared token.
 * @param options.sessionId the session that the token ends with, if any
 * @param options.grant what the token is limited to. By default, it is for this service, and has no limit
 * @param options.seconds the lifetime, at most that of the grant or `ttlSeconds`, which is the default
 */
export type IssueToken = (
  caller: Caller,
  options?: { sessionId?: SessionId; grant?: TokenGrant | undefined; seconds?: number },
) => string;

export type AccessTokens = {
  ttlSeconds: number;
  /**
   * Begins to issue a token, whose lifetime begins now. So a later delay cannot let the token outlive the revocation of its
   * epoch.
   * @param epochReadAfterMs a time after which the epoch of the token was read or will be read (`performance.now()`). From then
   * on, the lifetime must have been recorded: a revocation that was stored before the record may be kept for a shorter time.
   * @throws {Problem} `database-unavailable` if the lifetime has not been recorded since then
   */
  prepare(epochReadAfterMs: number): IssueToken;
  /**
   * Verifies the signature, the claims and the key, but not the revocation list (revocations.ts). For a token that was verified
   * before, the result is no promise.
   * @throws {Problem} `invalid-token`; `token-expired` if everything else is valid; `token-revoked` if the key is revoked
   */
  verify(token: string): TokenPrincipal | Promise<TokenPrincipal>;
};

/**
 * The issuer and audience of tokens without `PUBLIC_URL`. It is a URL, as RFC 9068 and RFC 8414 require: that of a service with
 * default settings. It does not depend on `PORT`, so that instances accept each other's tokens.
 */
export const defaultIssuer = "http://127.0.0.1:8080";

/** The default of an earlier version, whose tokens are accepted until they expire. */
const formerDefaultIssuer = "latchkey";

/** The audiences of tokens that this service accepts, now or with another `PUBLIC_URL`. No API can have one of them. */
export const ownAudiences = (issuer: string): readonly string[] => [issuer, defaultIssuer, formerDefaultIssuer];

/**
 * The client that a token is issued to (RFC 9068, section 2.2). Any program can get a token with the user's password. The service
 * cannot tell these programs apart, and regards them as one client.
 */
const clientId = "latchkey";

type AccessTokenOptions = {
  keys: SigningKeys;
  /** Also the audience: the tokens are for this service. */
  issuer: string;
  ttlSeconds: number;
  /** Whether this lifetime is recorded, so that revocations are kept for as long as the tokens live. */
  lifetime: Pick<TokenLifetime, "isRecordedSince">;
  clock: Clock;
};

export function accessTokens({ keys, issuer, ttlSeconds, lifetime, clock }: AccessTokenOptions): AccessTokens {
  const accepted = issuer === defaultIssuer ? [issuer, formerDefaultIssuer] : [issuer];
  // By signature, which takes less time to look up than a token. The tokens are not hashed: anyone who can read this memory can
  // read the signing key, too.
  const verified = new QuickLRU<string, Verified>({ maxSize: maxVerified });

  /** Verifies the parts that cannot change: the signature and the claims. */
  async function verifyOnce(token: string): Promise<Verified> {
    const kid = keyIdOf(token);
    const found = await keys.find(kid);
    if (!found) throw new Problem("invalid-token");
    try {
      const { payload } = await jwtVerify(token, found.key, {
        algorithms: [found.algorithm],
        issuer: accepted,
        audience: accepted,
        typ: "at+jwt",
        requiredClaims: ["exp", "iat", "jti", "sub"],
        currentDate: clock(),
      });
      const { jti, sid, sub, username, epoch, iat, exp, scope } = claims.parse(payload);
      const principal = {
        proof: "token",
        tokenId: jti,
        keyId: keyId(kid),
        sessionId: sid,
        userId: sub,
        username,
        epoch,
        scopes: scope,
      } as const;
      // Frozen, because all requests with this token share it.
      return { token, principal: Object.freeze({ ...principal, expiresAt: new Date(exp * 1000) }), issuedAt: iat };
    } catch (cause) {
      // jose checks `exp` last, so the signature is valid.
      const payload = cause instanceof errors.JWTExpired ? claims.safeParse(cause.payload).data : undefined;
      throw payload ? expired(new Date(payload.exp * 1000), cause) : new Problem("invalid-token", { cause });
    }
  }

  return {
    ttlSeconds,

    prepare(epochReadAfterMs) {
      if (!lifetime.isRecordedSince(epochReadAfterMs))
        throw new Problem("database-unavailable", { cause: new Error("no recorded lifetime") });
      const issuedAt = Math.floor(clock().getTime() / 1000);
      return ({ userId, username, epoch }, { sessionId, grant, seconds = grant?.seconds ?? ttlSeconds } = {}) => {
        const { kid, algorithm, key } = keys.signing();
        const claims = {
          client_id: clientId,
          username,
          epoch,
          sid: sessionId,
          iss: issuer,
          aud: grant?.audience ?? issuer,
          sub: userId,
          iat: issuedAt,
          exp: issuedAt + seconds,
          jti: randomUUID(),
          ...(grant && { scope: grant.scopes.join(" "), ...grant.rights }),
        };
        return signToken({ alg: algorithm, typ: "at+jwt", kid }, claims, key);
      };
    },

    verify(token) {
      const known = verified.get(signatureOf(token));
      if (known?.token === token) return requireCurrent(known);
      return verifyOnce(token).then((known) => {
        verified.set(signatureOf(token), known);
        return requireCurrent(known);
      });
    },
  };

  /** Checks the parts that can change: the expiry, and the state of the key. */
  function requireCurrent({ principal, issuedAt }: Verified): TokenPrincipal | Promise<TokenPrincipal> {
    const now = Math.floor(clock().getTime() / 1000);
    if (principal.expiresAt.getTime() / 1000 <= now) throw expired(principal.expiresAt);
    // If the clock was set back, the token may have expired before that.
    if (issuedAt > now + clockSkewSeconds) throw new Problem("invalid-token");
    const key = keys.find(principal.keyId);
    return key instanceof Promise
      ? key.then((found) => requireUsable(found, principal))
      : requireUsable(key, principal);
  }
}

/** Signs a JWT (RFC 7515, section 7.1). */
function signToken(
  header: { alg: SigningAlgorithm; typ: string; kid: string },
  claims: object,
  key: KeyObject,
): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signWith(header.alg, Buffer.from(input), key).toString("base64url")}`;
}

function requireUsable(key: VerificationKey | undefined, principal: TokenPrincipal): TokenPrincipal {
  if (!key) throw new Problem("invalid-token");
  if (key.isRevoked) throw new Problem("token-revoked");
  return principal;
}

/** A verified token. Its expiry and its key are checked at each use. */
type Verified = {
  token: string;
  principal: TokenPrincipal;
  /** Seconds since 1970. */
  issuedAt: number;
};

/** The cache keeps at least this number of recently used tokens, and at most twice as many. Each takes about 1 KB. */
const maxVerified = 10_000;

/** How far in the future `iat` may be: instances read the time of the database at different moments. */
const clockSkewSeconds = 60;

/** Seconds since 1970, up to the end of the year 9999, which JavaScript and Postgres can represent. */
const numericDate = z.int().min(0).max(253_402_300_799);

const claims = z.object({
  client_id: z.literal(clientId).optional(), // an earlier version left it out
  jti: z.uuid().transform(tokenId),
  sid: z.uuid().transform(toSessionId).optional(),
  iat: numericDate,
  exp: numericDate,
  sub: z.uuid().transform(toUserId),
  username: z.string().transform(storedUsername),
  epoch: z.int().nonnegative().max(maxEpoch),
  /** Empty if the token allows nothing. Absent if it is not limited. */
  scope: z
    .string()
    .transform((text) => new Set(text === "" ? [] : text.split(" ")))
    .optional(),
});

const expired = (at: Date, cause?: unknown) =>
  new Problem("token-expired", { detail: `The token expired at ${at.toISOString()}.`, cause });

const signatureOf = (token: string): string => token.slice(token.lastIndexOf(".") + 1);

/**
 * Requires three parts in canonical base64url (RFC 4648, section 5). Node's decoder also accepts spaces, other alphabets and
 * unused bits, so that one token could be written in many ways.
 * @returns the key id in the first part
 * @throws {Problem} `invalid-token`
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

/** A key id is an RFC 7638 thumbprint with SHA-256. Other values are not looked up. */
const thumbprint = z.string().regex(/^[\w-]{43}$/);
