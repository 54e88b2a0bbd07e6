/** Access tokens (RFC 9068): parsing, the checks that depend on nothing but the token, and the principal. */
import { isEpoch, isObject, isText, maxEpoch, parseJson } from "./json.ts";
import type { ClientPrincipal, Principal, UserPrincipal } from "./principal.ts";
import { decodeBriefly, isBase64url, isKeyId, maxTokenLength } from "./signature.ts";

/** A token whose signature is not verified yet. */
export type ParsedToken = {
  kid: string;
  alg: string;
  signedInput: string;
  signature: string;
  principal: Principal;
  /** Seconds since 1970. */
  issuedAt: number;
  notBefore: number;
  expiresAt: number;
  /** The subjects whose entries can revoke the token, and the version that the token has of each. */
  subjects: readonly string[];
  versions: readonly number[];
};

/** The subject of the entry that concerns all tokens. */
export const everybody = "everybody";

const maxTextLength = 1_024;
const maxItems = 1_024;
/** The end of the year 9999, which JavaScript can represent. */
const maxSeconds = 253_402_300_799;
/** RFC 6749, section 3.3. */
const scopeName = /^[!#-[\]-~]{1,64}$/;

/**
 * A user's scopes and a key's headers are the same in many tokens. More of them than this are forgotten, and long ones are not kept:
 * they are parsed before the signature is verified, so a stranger can send any number of them.
 */
const maxScopeSets = 1_000;
const maxHeaders = 100;
const maxCachedLength = 512;

type Header = { kid: string; alg: string };

/** @returns a function that returns `undefined` for what is not a token of the issuer for the audience, whoever signed it */
export function createTokenParser(issuer: string, audience: string): (token: string) => ParsedToken | undefined {
  const headers = new Map<string, Header>();

  const findHeader = (text: string): Header | undefined => {
    const known = headers.get(text);
    if (known) return known;
    const { typ, alg, kid, crit } = parseMembers(text) ?? {};
    if (typ !== "at+jwt" || typeof alg !== "string" || !isKeyId(kid) || crit !== undefined) return undefined;
    if (headers.size >= maxHeaders) headers.clear();
    if (text.length <= maxCachedLength) headers.set(text, { kid, alg });
    return { kid, alg };
  };

  return (token) => {
    if (token.length > maxTokenLength) return undefined;
    const headerEnd = token.indexOf(".");
    const payloadEnd = token.indexOf(".", headerEnd + 1);
    // A dot in the signature is not base64url.
    if (headerEnd < 1 || payloadEnd < 0) return undefined;
    const header = findHeader(token.slice(0, headerEnd));
    const claims = header && parseMembers(token.slice(headerEnd + 1, payloadEnd));
    const signature = token.slice(payloadEnd + 1);
    if (!claims || signature === "" || !isBase64url(signature)) return undefined;
    return parseClaims(claims, { issuer, audience, ...header, signedInput: token.slice(0, payloadEnd), signature });
  };
}

function parseMembers(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!isBase64url(text)) return undefined;
  try {
    const members = parseJson(decodeBriefly(text));
    return isObject(members) ? members : undefined;
  } catch {
    return undefined;
  }
}

type Expected = Header & Pick<ParsedToken, "signedInput" | "signature"> & { issuer: string; audience: string };

function parseClaims(claims: Readonly<Record<string, unknown>>, expected: Expected): ParsedToken | undefined {
  const { issuer, audience, kid, alg, signedInput, signature } = expected;
  const { iss, aud, client_id: clientId, iat, nbf = 0, exp, jti, epoch } = claims;
  // A bound token is valid only with a proof of its key (RFC 9449, section 7), which this package does not verify.
  const isExpected = iss === issuer && aud === audience && claims["cnf"] === undefined;
  if (!isExpected || !isName(clientId) || !isName(jti)) return undefined;
  if (!isTime(iat) || !isTime(nbf) || !isTime(exp) || !isTokenEpoch(epoch)) return undefined;
  const subjects = [jti, kid, everybody];
  const versions = [epoch, epoch, epoch];
  const common = { clientId, tokenId: jti, expiresAt: new Date(exp * 1000) };
  // A token for Latchkey itself has no limits, and nothing that the limits depend on.
  const isOwn = audience === issuer;
  const principal =
    claims["sub"] === clientId
      ? parseClient(claims, common)
      : parseUser(claims, common, { isOwn, epoch, subjects, versions });
  const isDirect = clientId === directClient && principal?.kind === "user";
  const epochs = claims["epochs"] ?? (isOwn && isDirect ? {} : undefined);
  if (!principal || !addEpochs(epochs, subjects, versions)) return undefined;
  // A change of a registered client must be able to revoke the token.
  if (!isDirect && !subjects.includes(`client:${clientId}`)) return undefined;
  return {
    kid,
    alg,
    signedInput,
    signature,
    principal: Object.freeze(principal),
    issuedAt: iat,
    notBefore: nbf,
    expiresAt: exp,
    subjects,
    versions,
  };
}

/** The client of tokens that users get without a registered one. */
const directClient = "latchkey";

type CommonClaims = { clientId: string; tokenId: string; expiresAt: Date };
type UserToken = { isOwn: boolean; epoch: number; subjects: string[]; versions: number[] };

/** Adds what can revoke the token of a user. */
function parseUser(
  claims: Readonly<Record<string, unknown>>,
  common: CommonClaims,
  { isOwn, epoch, subjects, versions }: UserToken,
): UserPrincipal | undefined {
  const { sub, username, sid } = claims;
  if (!isName(sub) || !isName(username) || (sid !== undefined && !isName(sid))) return undefined;
  const scopes = parseScopes(claims["scope"] ?? (isOwn ? "" : undefined));
  const roles = parseRoles(claims["roles"] ?? (isOwn ? [] : undefined));
  if (!scopes || !roles) return undefined;
  subjects.push(sub);
  versions.push(epoch);
  if (sid !== undefined) {
    subjects.push(sid);
    versions.push(epoch);
  }
  const user = { kind: "user" as const, userId: sub, username, scopes, roles, ...common };
  return sid === undefined ? user : { ...user, sessionId: sid };
}

function parseClient(claims: Readonly<Record<string, unknown>>, common: CommonClaims): ClientPrincipal | undefined {
  const scopes = parseScopes(claims["scope"]);
  return scopes && { kind: "client", scopes, roles: noRoles, ...common };
}

const noRoles: readonly string[] = Object.freeze([]);

const isName = (value: unknown): value is string => isText(value, maxTextLength);

const isTime = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxSeconds;

/** A thief of a signing key can choose the epoch. The revocation of the key revokes every epoch but the largest. */
const isTokenEpoch = (value: unknown): value is number => isEpoch(value) && value < maxEpoch;

const scopeSets = new Map<string, ReadonlySet<string>>();

/** @returns `undefined` if the value is not a list of scopes that single spaces separate */
export function parseScopes(value: unknown): ReadonlySet<string> | undefined {
  if (typeof value !== "string") return undefined;
  const known = scopeSets.get(value);
  if (known) return known;
  const names = value === "" ? [] : value.split(" ", maxItems + 1);
  if (names.length > maxItems || !names.every((name) => scopeName.test(name))) return undefined;
  if (scopeSets.size >= maxScopeSets) scopeSets.clear();
  const scopes = frozenSet(names);
  if (value.length <= maxCachedLength) scopeSets.set(value, scopes);
  return scopes;
}

/** Read-only, because several callers share it: a change would alter the scopes of all of them. */
function frozenSet(names: readonly string[]): ReadonlySet<string> {
  const set = new Set(names);
  const refuse = () => {
    throw new TypeError("The scopes of a principal cannot be changed.");
  };
  return Object.defineProperties(set, { add: { value: refuse }, delete: { value: refuse }, clear: { value: refuse } });
}

export const parseRoles = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.length <= maxItems && value.every(isName) ? Object.freeze(value) : undefined;

/** Adds the versions of what the scopes depend on. @returns whether they are well-formed */
function addEpochs(value: unknown, subjects: string[], versions: number[]): boolean {
  if (!isObject(value)) return false;
  for (const subject of Object.keys(value)) {
    const epoch = value[subject];
    if (!isName(subject) || !isTokenEpoch(epoch) || subjects.length > maxItems) return false;
    subjects.push(subject);
    versions.push(epoch);
  }
  return true;
}
