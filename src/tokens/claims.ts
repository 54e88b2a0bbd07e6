/** The claims of access tokens (RFC 9068), and the principals that they describe. */
import { z } from "zod";
import {
  type KeyId,
  storedUsername,
  clientId as toClientId,
  tokenId,
  sessionId as toSessionId,
  userId as toUserId,
} from "../identifiers.ts";
import type { ApiTokenPrincipal, ClientPrincipal, Principal, TokenPrincipal } from "../principal.ts";
import { maxEpoch } from "../revocations/revocations.ts";

/**
 * The client of tokens that were issued without a registered client (RFC 9068, section 2.2). Any program can get a token with the user's
 * password. The service cannot tell these programs apart, and regards them as one client.
 */
export const directClientId = "latchkey";

/** Whether a registered client acts for the user: within what the user has allowed it, and not as the user. */
export const isDelegated = (principal: Principal): boolean =>
  principal.proof === "token" && principal.clientId !== directClientId;

/** Seconds since 1970, up to the end of the year 9999, which JavaScript and Postgres can represent. */
const numericDate = z.int().min(0).max(253_402_300_799);

const epoch = z.int().nonnegative().max(maxEpoch);
/** Empty if the token allows nothing. */
const scopes = z.string().transform((text): ReadonlySet<string> => new Set(text === "" ? [] : text.split(" ")));

const epochs = z.record(z.string(), epoch);

const common = z.object({
  jti: z.uuid().transform(tokenId),
  iat: numericDate,
  exp: numericDate,
  epoch,
  /** The key that the token is bound to (RFC 9449, section 6.1). A token with another kind of binding is refused. */
  cnf: z.strictObject({ jkt: z.string() }).optional(),
});

const userClaims = common.extend({
  client_id: z.string().min(1).default(directClientId), // an earlier version left it out
  epochs: epochs.optional(),
  sid: z.uuid().transform(toSessionId).optional(),
  sub: z.uuid().transform(toUserId),
  username: z.string().transform(storedUsername),
});

/** Of a token for this service. */
const ownClaims = userClaims.extend({
  /** Absent if the token is not limited. */
  scope: scopes.optional(),
});

/** Of a token for a registered API. */
const apiClaims = userClaims.extend({ aud: z.string(), scope: scopes, roles: z.array(z.string()), epochs });

/** Of a token of a client, which is its own subject (RFC 9068, section 2.2). */
const clientClaims = common.extend({ aud: z.string(), sub: z.string().transform(toClientId), scope: scopes, epochs });

/** Whether the subject of a token is its client. No client has the id of a user. */
export const isOfClient = ({ sub, client_id }: { sub?: unknown; client_id?: unknown }): boolean => sub === client_id;

/** @throws {ZodError} if a claim is missing or malformed */
export function ownPrincipal(kid: KeyId, payload: unknown): TokenPrincipal {
  const { scope, epochs, ...user } = ownClaims.parse(payload);
  requireRevocable(user.client_id, epochs);
  return { proof: "token", ...userOf(kid, user), scopes: scope, epochs };
}

/** @throws {ZodError} if a claim is missing or malformed */
export function apiPrincipal(kid: KeyId, payload: unknown): ApiTokenPrincipal {
  const { aud, scope, roles, epochs, ...user } = apiClaims.parse(payload);
  requireRevocable(user.client_id, epochs);
  return { proof: "api-token", ...userOf(kid, user), audience: aud, scopes: scope, roles, epochs };
}

/**
 * @param isOwn whether the audience is this service
 * @throws {ZodError} if a claim is missing or malformed
 */
export function clientPrincipal(kid: KeyId, payload: unknown, isOwn: boolean): ClientPrincipal {
  const { aud, sub, scope, epoch, epochs, ...token } = clientClaims.parse(payload);
  requireRevocable(sub, epochs);
  const audience = isOwn ? undefined : aud;
  return { proof: "client-token", ...tokenOf(kid, token), clientId: sub, audience, scopes: scope, epoch, epochs };
}

/** A change of a registered client must be able to revoke the token. */
function requireRevocable(client: string, epochs: Readonly<Record<string, number>> | undefined): void {
  if (client === directClientId || epochs?.[`client:${client}`] !== undefined) return;
  throw new Error("the token has no version of its client");
}

const userOf = (kid: KeyId, { sid, sub, client_id, username, epoch, ...token }: z.infer<typeof userClaims>) => ({
  ...tokenOf(kid, token),
  clientId: client_id,
  sessionId: sid,
  userId: sub,
  username,
  epoch,
});

type TokenClaims = Pick<z.infer<typeof common>, "jti" | "iat" | "exp" | "cnf">;

const tokenOf = (kid: KeyId, { jti, iat, exp, cnf }: TokenClaims) => ({
  tokenId: jti,
  keyId: kid,
  issuedAt: new Date(iat * 1000),
  expiresAt: new Date(exp * 1000),
  boundTo: cnf?.jkt,
});
