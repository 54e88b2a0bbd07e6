/** Access tokens (RFC 9068): parsing, the checks that depend on nothing but the token, and the principal. */
import { isEpoch, isObject, isText, maxEpoch, parseJson } from "./json.ts";
import type { Principal } from "./principal.ts";
import { decodeBase64url, isKeyId } from "./signature.ts";

/** A token whose signature is not verified yet. */
export type ParsedToken = {
  kid: string;
  alg: string;
  signedInput: Uint8Array;
  signature: Uint8Array;
  claims: Claims;
};

export type Claims = {
  principal: Principal;
  /** Seconds since 1970. */
  issuedAt: number;
  notBefore: number;
  expiresAt: number;
  epoch: number;
  /** The versions of what the scopes depend on, by the subjects of revocation entries. */
  epochs: ReadonlyMap<string, number>;
};

/** More than Latchkey issues, and as much as Node.js accepts in all headers. */
const maxTokenLength = 16_384;
const maxTextLength = 1_024;
const maxItems = 1_024;
/** The end of the year 9999, which JavaScript can represent. */
const maxSeconds = 253_402_300_799;
/** RFC 6749, section 3.3. */
const scopeName = /^[!#-[\]-~]{1,64}$/;

const encoder = new TextEncoder();

/** @returns `undefined` if the text is not a token of the issuer for the audience, whoever signed it */
export function parseToken(token: string, issuer: string, audience: string): ParsedToken | undefined {
  if (token.length > maxTokenLength) return undefined;
  const parts = token.split(".", 4);
  if (parts.length !== 3) return undefined;
  const [header, payload, signature] = parts.map(decodeBase64url);
  if (!header?.length || !payload?.length || !signature?.length) return undefined;
  const { typ, alg, kid, crit } = parseMembers(header) ?? {};
  if (typ !== "at+jwt" || typeof alg !== "string" || !isKeyId(kid) || crit !== undefined) return undefined;
  const claims = parseClaims(parseMembers(payload) ?? {}, issuer, audience);
  const signedInput = encoder.encode(token.slice(0, token.lastIndexOf(".")));
  return claims && { kid, alg, signedInput, signature, claims };
}

function parseMembers(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const members = parseJson(bytes);
    return isObject(members) ? members : undefined;
  } catch {
    return undefined;
  }
}

function parseClaims(claims: Readonly<Record<string, unknown>>, issuer: string, audience: string): Claims | undefined {
  const { iss, aud, sub, client_id: clientId, username, iat, nbf = 0, exp, jti, sid, epoch } = claims;
  const isExpected = iss === issuer && aud === audience;
  if (!isExpected || !isName(sub) || !isName(clientId) || !isName(username) || !isName(jti)) return undefined;
  if (!isTime(iat) || !isTime(nbf) || !isTime(exp) || !isTokenEpoch(epoch)) return undefined;
  if (sid !== undefined && !isName(sid)) return undefined;
  // A token for Latchkey itself has no limits, and nothing that the limits depend on.
  const isOwn = audience === issuer;
  const scopes = parseScopes(claims["scope"] ?? (isOwn ? "" : undefined));
  const roles = parseRoles(claims["roles"] ?? (isOwn ? [] : undefined));
  const epochs = parseEpochs(claims["epochs"] ?? (isOwn ? {} : undefined));
  if (!scopes || !roles || !epochs) return undefined;
  const principal: Principal = Object.freeze({
    kind: "user",
    userId: sub,
    username,
    clientId,
    scopes,
    roles,
    ...(sid !== undefined && { sessionId: sid }),
    tokenId: jti,
    expiresAt: new Date(exp * 1000),
  });
  return { principal, issuedAt: iat, notBefore: nbf, expiresAt: exp, epoch, epochs };
}

const isName = (value: unknown): value is string => isText(value, maxTextLength);

const isTime = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxSeconds;

/** Whoever has stolen a signing key can choose the epoch. Its revocation revokes every epoch but the largest. */
const isTokenEpoch = (value: unknown): value is number => isEpoch(value) && value < maxEpoch;

/** @returns `undefined` if the value is not a list of scopes that single spaces separate */
export function parseScopes(value: unknown): ReadonlySet<string> | undefined {
  if (value === "") return new Set();
  if (typeof value !== "string") return undefined;
  const names = value.split(" ", maxItems + 1);
  return names.length <= maxItems && names.every((name) => scopeName.test(name)) ? new Set(names) : undefined;
}

export const parseRoles = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.length <= maxItems && value.every(isName) ? Object.freeze(value) : undefined;

function parseEpochs(value: unknown): ReadonlyMap<string, number> | undefined {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value);
  if (entries.length > maxItems) return undefined;
  const epochs = new Map<string, number>();
  for (const [subject, epoch] of entries) {
    if (!isName(subject) || !isTokenEpoch(epoch)) return undefined;
    epochs.set(subject, epoch);
  }
  return epochs;
}
