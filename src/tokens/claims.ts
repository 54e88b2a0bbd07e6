/** The claims of access tokens (RFC 9068), and the principals that they describe. */
import { z } from "zod";
import { type KeyId, storedUsername, tokenId, sessionId as toSessionId, userId as toUserId } from "../identifiers.ts";
import type { ApiTokenPrincipal, TokenPrincipal } from "../principal.ts";
import { maxEpoch } from "../revocations/revocations.ts";

/**
 * The client that a token is issued to (RFC 9068, section 2.2). Any program can get a token with the user's password. The service
 * cannot tell these programs apart, and regards them as one client.
 */
export const clientId = "latchkey";

/** Seconds since 1970, up to the end of the year 9999, which JavaScript and Postgres can represent. */
const numericDate = z.int().min(0).max(253_402_300_799);

const epoch = z.int().nonnegative().max(maxEpoch);
/** Empty if the token allows nothing. */
const scopes = z.string().transform((text): ReadonlySet<string> => new Set(text === "" ? [] : text.split(" ")));

const claims = z.object({
  client_id: z.literal(clientId).optional(), // an earlier version left it out
  jti: z.uuid().transform(tokenId),
  sid: z.uuid().transform(toSessionId).optional(),
  iat: numericDate,
  exp: numericDate,
  sub: z.uuid().transform(toUserId),
  username: z.string().transform(storedUsername),
  epoch,
  /** Absent if the token is not limited. */
  scope: scopes.optional(),
});

/** Of a token for a registered API. */
const apiClaims = claims.extend({
  aud: z.string(),
  scope: scopes,
  roles: z.array(z.string()),
  epochs: z.record(z.string(), epoch),
});

/** @throws {ZodError} if a claim is missing or malformed */
export function ownPrincipal(kid: KeyId, payload: unknown): TokenPrincipal {
  const { scope, ...common } = claims.parse(payload);
  return { proof: "token", ...userOf(kid, common), scopes: scope };
}

/** @throws {ZodError} if a claim is missing or malformed */
export function apiPrincipal(kid: KeyId, payload: unknown): ApiTokenPrincipal {
  const { aud, scope, roles, epochs, ...common } = apiClaims.parse(payload);
  return { proof: "api-token", ...userOf(kid, common), audience: aud, scopes: scope, roles, epochs };
}

const userOf = (kid: KeyId, { jti, sid, sub, username, epoch, iat, exp }: Omit<z.infer<typeof claims>, "scope">) => ({
  tokenId: jti,
  keyId: kid,
  sessionId: sid,
  userId: sub,
  username,
  epoch,
  issuedAt: new Date(iat * 1000),
  expiresAt: new Date(exp * 1000),
});
