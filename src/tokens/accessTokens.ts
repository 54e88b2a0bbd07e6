/** Access tokens: signed JWTs (RFC 9068). */
import { randomUUID } from "node:crypto";
import { decodeProtectedHeader, errors, jwtVerify } from "jose";
import QuickLRU from "quick-lru";
import { z } from "zod";
import type { TokenGrant } from "../access/grants.ts";
import { type ClientId, keyId, type SessionId } from "../identifiers.ts";
import { secondsOf } from "../lib/seconds.ts";
import type { AnyTokenPrincipal, ApiTokenPrincipal, Caller, ClientPrincipal, TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { apiPrincipal, clientPrincipal, directClientId, isOfClient, ownPrincipal } from "./claims.ts";
import type { TokenLifetime } from "./lifetime.ts";
import type { SigningKeys, VerificationKey } from "./signingKeys.ts";
import { signToken } from "./signToken.ts";

/** The current time. Tests move it. */
export type Clock = () => Date;

/**
 * Issues a prepared token.
 * @param options.sessionId the session that the token ends with, if any
 * @param options.grant what the token is limited to. By default, it is for this service, and has no limit
 * @param options.seconds the lifetime, at most that of the grant or `ttlSeconds`, which is the default
 * @param options.client the registered client that gets the token, if any
 */
export type IssueToken = (
  caller: Caller,
  options?: {
    sessionId?: SessionId;
    grant?: TokenGrant | undefined;
    seconds?: number;
    client?: TokenClient | undefined;
  },
) => Promise<string>;

/** The client that a token is issued to. */
export type TokenClient = {
  id: ClientId;
  /** Its version, by the subject of its revocation entries. */
  epochs: Readonly<Record<string, number>>;
  /** When the user authenticated. */
  authenticatedAt?: Date | undefined;
  /** The thumbprint of the key that the token is bound to, if any (RFC 9449). */
  boundTo?: string | undefined;
};

/** Issues a prepared token of a client itself. */
export type IssueClientToken = (
  client: TokenClient & { epoch: number; audience: string; scopes: readonly string[] },
  seconds: number,
) => Promise<string>;

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
  /** Begins to issue a token of a client itself, as `prepare` does. */
  prepareForClient(epochsReadAfterMs: number): IssueClientToken;
  /**
   * Verifies the signature, the claims and the key of a token for this service, but not the revocation list (revocations.ts).
   * For a token that was verified before, the result is no promise.
   * @throws {Problem} `invalid-token`; `token-expired` if everything else is valid; `token-revoked` if the key is revoked
   */
  verify(token: string): OwnToken | Promise<OwnToken>;
  /**
   * Verifies a token for a registered API, as `verify` does. The revocation list also rejects tokens of a deleted API.
   * @param audience the API. By default, any
   * @throws {Problem} as `verify`. A token for this service or for another API is an `invalid-token`
   */
  verifyForApi(token: string, audience?: string): TokenForApi | Promise<TokenForApi>;
  /** Verifies a token for this service or for any registered API. @throws {Problem} as `verify` */
  verifyAny(token: string): AnyTokenPrincipal | Promise<AnyTokenPrincipal>;
};

/** The principal of a token for this service. */
export type OwnToken = TokenPrincipal | ClientPrincipal;
/** The principal of a token for a registered API. */
export type TokenForApi = ApiTokenPrincipal | (ClientPrincipal & { audience: string });

/**
 * The issuer and audience of tokens without `PUBLIC_URL`. It is a URL, as RFC 9068 and RFC 8414 require: that of a service with
 * default settings. It does not depend on `PORT`, so that instances accept each other's tokens.
 */
const defaultIssuer = "http://127.0.0.1:8080";

/** The default of an earlier version, whose tokens are accepted until they expire. */
const formerDefaultIssuer = "latchkey";

/** The issuer of tokens, and the audience of those for this service. */
export const issuerOf = ({ publicUrl }: { publicUrl?: string | undefined }): string => publicUrl ?? defaultIssuer;

/** The audiences of tokens that this service accepts, now or with another `PUBLIC_URL`. No API can have one of them. */
export const ownAudiences = (issuer: string): readonly string[] => [issuer, defaultIssuer, formerDefaultIssuer];

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
  // Tokens for APIs are in a cache of their own, so that they evict no token for this service.
  const ownTokens: VerifiedTokens<OwnToken> = new QuickLRU({ maxSize: maxVerified });
  const apiTokens: VerifiedTokens<TokenForApi> = new QuickLRU({ maxSize: maxVerified });

  /** Verifies the parts that cannot change, the signature and the claims, and remembers the token. */
  async function verifyOnce(token: string): Promise<AnyTokenPrincipal> {
    const kid = keyIdOf(token);
    const found = await keys.find(kid);
    if (!found) throw new Problem("invalid-token");
    try {
      const { payload } = await jwtVerify(token, found.key, {
        algorithms: [found.algorithm],
        issuer: accepted,
        typ: "at+jwt",
        requiredClaims: ["aud", "exp", "iat", "jti", "sub"],
        currentDate: clock(),
      }).catch((cause: unknown) => {
        // jose checks `exp` last, so the rest is valid. `requireCurrent` rejects the token.
        if (cause instanceof errors.JWTExpired) return cause;
        throw cause;
      });
      const isOwn = accepted.includes(String(payload.aud));
      const principal = isOfClient(payload)
        ? clientPrincipal(keyId(kid), payload, isOwn)
        : isOwn
          ? ownPrincipal(keyId(kid), payload)
          : apiPrincipal(keyId(kid), payload);
      return isForApi(principal) ? remember(apiTokens, token, principal) : remember(ownTokens, token, principal);
    } catch (cause) {
      throw new Problem("invalid-token", { cause });
    }
  }

  return {
    ttlSeconds,

    prepare(epochReadAfterMs) {
      const sign = prepareSigning(epochReadAfterMs);
      return ({ userId, username, epoch }, { sessionId, grant, seconds = grant?.seconds ?? ttlSeconds, client } = {}) =>
        sign(
          {
            client_id: client?.id ?? directClientId,
            username,
            epoch,
            sid: sessionId,
            aud: grant?.audience ?? issuer,
            sub: userId,
            auth_time: client?.authenticatedAt && secondsOf(client.authenticatedAt),
            cnf: confirmationOf(client),
            ...(grant && { scope: grant.scopes.join(" "), ...grant.rights }),
            ...(client && { epochs: { ...grant?.rights?.epochs, ...client.epochs } }),
          },
          seconds,
        );
    },

    prepareForClient(epochsReadAfterMs) {
      const sign = prepareSigning(epochsReadAfterMs);
      return ({ id, epoch, epochs, audience, scopes, boundTo }, seconds) => {
        const cnf = confirmationOf({ boundTo });
        return sign({ client_id: id, epoch, aud: audience, sub: id, scope: scopes.join(" "), epochs, cnf }, seconds);
      };
    },

    verify(token) {
      const known = recall(ownTokens, token);
      if (known) return requireCurrent(known);
      return verifyOnce(token).then((principal) => requireCurrent(requireOwn(principal)));
    },

    verifyForApi(token, audience) {
      const known = recall(apiTokens, token);
      if (known) return requireCurrent(requireAudience(known, audience));
      return verifyOnce(token).then((principal) => requireCurrent(requireAudience(principal, audience)));
    },

    verifyAny(token) {
      const known = recall(ownTokens, token) ?? recall(apiTokens, token);
      return known ? requireCurrent(known) : verifyOnce(token).then(requireCurrent);
    },
  };

  /** @returns a function that adds the claims which all tokens have. Those that are `undefined` are left out */
  function prepareSigning(epochReadAfterMs: number): (claims: object, seconds: number) => Promise<string> {
    if (!lifetime.isRecordedSince(epochReadAfterMs))
      throw new Problem("database-unavailable", { cause: new Error("no recorded lifetime") });
    const issuedAt = secondsOf(clock());
    return (claims, seconds) => {
      const { kid, algorithm, key } = keys.signing();
      const times = { iat: issuedAt, exp: issuedAt + seconds };
      const all = { iss: issuer, ...claims, ...times, jti: randomUUID() };
      return signToken({ alg: algorithm, typ: "at+jwt", kid }, all, key);
    };
  }

  /** Checks the parts that can change: the expiry, and the state of the key. */
  function requireCurrent<Principal extends AnyTokenPrincipal>(principal: Principal): Principal | Promise<Principal> {
    const now = Math.floor(clock().getTime() / 1000);
    if (principal.expiresAt.getTime() / 1000 <= now) throw expired(principal.expiresAt);
    // If the clock was set back, the token may have expired before that.
    if (principal.issuedAt.getTime() / 1000 > now + clockSkewSeconds) throw new Problem("invalid-token");
    const key = keys.find(principal.keyId);
    return key instanceof Promise
      ? key.then((found) => requireUsable(found, principal))
      : requireUsable(key, principal);
  }
}

function requireUsable<Principal>(key: VerificationKey | undefined, principal: Principal): Principal {
  if (!key) throw new Problem("invalid-token");
  if (key.isRevoked) throw new Problem("token-revoked");
  return principal;
}

/** The claim `cnf` (RFC 9449, section 6.1). */
const confirmationOf = (client: Pick<TokenClient, "boundTo"> | undefined): { jkt: string } | undefined =>
  client?.boundTo === undefined ? undefined : { jkt: client.boundTo };

const isForApi = (principal: AnyTokenPrincipal): principal is TokenForApi =>
  principal.proof !== "token" && principal.audience !== undefined;

function requireOwn(principal: AnyTokenPrincipal): OwnToken {
  if (isForApi(principal)) throw new Problem("invalid-token");
  return principal;
}

function requireAudience(principal: AnyTokenPrincipal, audience: string | undefined): TokenForApi {
  if (!isForApi(principal)) throw new Problem("invalid-token");
  if (audience !== undefined && principal.audience !== audience) throw new Problem("invalid-token");
  return principal;
}

/**
 * Verified tokens by signature, which takes less time to look up than a token. Their expiry and their key are checked at each use.
 * The tokens are not hashed: anyone who can read this memory can read the signing key, too.
 */
type VerifiedTokens<Principal> = QuickLRU<string, { token: string; principal: Principal }>;

function recall<Principal>(tokens: VerifiedTokens<Principal>, token: string): Principal | undefined {
  const known = tokens.get(signatureOf(token));
  return known?.token === token ? known.principal : undefined;
}

/** @returns the principal, frozen, because all requests with this token share it */
function remember<Principal>(tokens: VerifiedTokens<Principal>, token: string, principal: Principal): Principal {
  const frozen = Object.freeze(principal);
  tokens.set(signatureOf(token), { token, principal: frozen });
  return frozen;
}

/** Each cache keeps at least this number of recently used tokens, and at most twice as many. A token takes about 1 KB. */
const maxVerified = 10_000;

/** How far in the future `iat` may be: instances read the time of the database at different moments. */
const clockSkewSeconds = 60;

const expired = (at: Date) => new Problem("token-expired", { detail: `The token expired at ${at.toISOString()}.` });

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
