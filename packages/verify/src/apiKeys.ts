/** API keys: one introspection (RFC 7662) for each, whose answer is remembered until the revocation list makes it outdated. */
import { type Fetch, fetchJson, isObject, isText } from "./json.ts";
import type { Principal } from "./principal.ts";
import type { RememberedCredential } from "./remembered.ts";
import type { RevocationEntry } from "./revocationList.ts";
import { parseRoles, parseScopes } from "./token.ts";

export type ApiKeys = {
  /**
   * Looks a key up. Concurrent calls for a key share a request. An answer that is outdated when it arrives is asked for again.
   * @returns `undefined` if Latchkey does not accept the key for this audience
   * @throws {Error} if Latchkey did not answer, or each answer was outdated
   */
  find(key: string): Promise<RememberedCredential | undefined>;
  /** If the entry makes an answer outdated that is on its way, that answer is not used, and no later call waits for it. */
  apply(entry: RevocationEntry): void;
  /** Does the same as `apply` with an entry of every subject. */
  applyAll(): void;
  /** The number of requests. */
  introspections(): number;
};

type ApiKeyOptions = {
  /** The address of the operation. */
  url: string;
  /** The header of each request. */
  authorization: string;
  audience: string;
  fetch: Fetch;
  /** The cursor of the revocation list. The answer must be at least as recent. */
  cursor: () => string | undefined;
  remember: (credential: RememberedCredential) => void;
};

type Answer = { credential: RememberedCredential; subjects: readonly string[] };
type Lookup = { answer: Promise<Answer | undefined>; changedSubjects: Set<string>; isOutdated: boolean };

const timeoutMs = 3_000;
const maxBytes = 262_144;
/** More would be a flood of keys that nobody has. */
const maxLookups = 100;
/** A key that Latchkey does not accept is asked for at most this often. */
const refusedMs = 1_000;
const maxRefused = 1_000;
const maxSubjects = 1_024;
/** For one call. */
const maxRequests = 3;

export function createApiKeys(options: ApiKeyOptions): ApiKeys {
  const { url, authorization, audience, fetch, cursor, remember } = options;
  /** All lookups in progress. */
  const lookups = new Set<Lookup>();
  /** The lookups in progress that a call may wait for. */
  const current = new Map<string, Lookup>();
  /** The times until which keys are refused without a request (`performance.now()`). */
  const refused = new Map<string, number>();
  let introspections = 0;

  const introspect = async (key: string): Promise<Answer | undefined> => {
    introspections += 1;
    const after = cursor();
    const form = {
      token: key,
      token_type_hint: "api_key",
      audience,
      ...(after !== undefined && { revocations_after: after }),
    };
    const request = () =>
      fetchJson(fetch, url, {
        method: "POST",
        headers: { Authorization: authorization, "Content-Type": "application/x-www-form-urlencoded" },
        body: String(new URLSearchParams(form)),
        idleTimeoutMs: timeoutMs,
        timeoutMs,
        maxBytes,
      });
    // Latchkey may have closed a connection that was idle, just when it was used again. fetch throws a TypeError then.
    const answer = await request().catch((error: unknown) => {
      if (error instanceof TypeError) return request();
      throw error;
    });
    return parseAnswer(answer, key, audience);
  };

  const begin = (key: string): Lookup => {
    if (lookups.size >= maxLookups) throw new Error("Too many API keys are being looked up.");
    const lookup: Lookup = { answer: introspect(key), changedSubjects: new Set(), isOutdated: false };
    lookups.add(lookup);
    current.set(key, lookup);
    const end = () => {
      lookups.delete(lookup);
      if (current.get(key) === lookup) current.delete(key);
    };
    lookup.answer.then((answer) => {
      if (!answer) refuse(key);
      else if (isCurrent(lookup, answer)) remember(answer.credential);
      end();
    }, end);
    return lookup;
  };
  const refuse = (key: string): void => {
    if (refused.size >= maxRefused) refused.clear();
    refused.set(key, performance.now() + refusedMs);
  };

  return {
    async find(key) {
      if (!isApiKey(key)) return undefined;
      const refusedUntilMs = refused.get(key) ?? -Infinity;
      if (performance.now() < refusedUntilMs) return undefined;
      refused.delete(key);
      for (let count = 0; count < maxRequests; count += 1) {
        const lookup = current.get(key) ?? begin(key);
        const answer = await lookup.answer;
        if (!answer || isCurrent(lookup, answer)) return answer?.credential;
      }
      throw new Error("The rights of the API key changed during each request.");
    },
    apply({ subject }) {
      current.clear();
      for (const { changedSubjects } of lookups) changedSubjects.add(subject);
    },
    applyAll() {
      current.clear();
      for (const lookup of lookups) lookup.isOutdated = true;
    },
    introspections: () => introspections,
  };
}

const isCurrent = ({ isOutdated, changedSubjects }: Lookup, { subjects }: Answer): boolean =>
  !isOutdated && !subjects.some((subject) => changedSubjects.has(subject));

/** @throws {Error} if the answer is malformed */
function parseAnswer(answer: unknown, key: string, audience: string): Answer | undefined {
  if (!isObject(answer) || typeof answer["active"] !== "boolean") throw malformed();
  if (!answer["active"] || answer["token_type"] !== "api_key" || !isFor(answer["aud"], audience)) return undefined;
  const { sub, username, client_id: clientId, api_key_id: apiKeyId, exp, revocation_subjects: subjects } = answer;
  const scopes = parseScopes(answer["scope"] ?? "");
  const roles = parseRoles(answer["roles"] ?? []);
  if (!isName(sub) || !isName(username) || !isName(clientId) || !isName(apiKeyId) || !scopes || !roles)
    throw malformed();
  if (exp !== undefined && !Number.isSafeInteger(exp)) throw malformed();
  // Without subjects, nothing would end what is remembered.
  if (!Array.isArray(subjects) || subjects.length === 0 || subjects.length > maxSubjects) throw malformed();
  if (!subjects.every(isName)) throw malformed();
  const expiresAtMs = typeof exp === "number" ? exp * 1000 : Infinity;
  const principal: Principal = Object.freeze({
    kind: "user",
    userId: sub,
    username,
    clientId,
    scopes,
    roles,
    apiKeyId,
    ...(expiresAtMs !== Infinity && { expiresAt: new Date(expiresAtMs) }),
  });
  const credential: RememberedCredential = {
    authorization: `Bearer ${key}`,
    principal,
    validFromMs: -Infinity,
    expiresAtMs,
    subjects,
    versions: undefined,
    wasUsed: false,
  };
  return { credential, subjects };
}

const isName = (value: unknown): value is string => isText(value, 1_024);

/** An answer without an audience does not say whether the key is for this API. */
const isFor = (aud: unknown, audience: string): boolean =>
  aud === audience || (Array.isArray(aud) && aud.includes(audience));

const malformed = () => new Error("Latchkey's introspection response is malformed.");

/** In ASCII order. */
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const checkedLength = "lk_".length + 43;
/** 256 bits, all of them set. 43 digits can express larger numbers, which are no keys. */
const largest = "lk_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";

/** Whether a text has the form of an API key: `lk_`, 43 base62 digits and the CRC-32 of these 46 characters as 6 digits. */
export function isApiKey(text: string): boolean {
  if (!/^lk_[0-9A-Za-z]{49}$/.test(text)) return false;
  const checked = text.slice(0, checkedLength);
  return checked <= largest && text.endsWith(checksumOf(checked));
}

/** The CRC-32 (ISO 3309, as in zlib) of ASCII characters, as 6 base62 digits. */
export function checksumOf(checked: string): string {
  let crc = 0xffffffff;
  for (let index = 0; index < checked.length; index += 1) {
    crc ^= checked.charCodeAt(index);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  let checksum = "";
  for (let rest = (crc ^ 0xffffffff) >>> 0; checksum.length < 6; rest = Math.floor(rest / 62)) {
    checksum = digits.charAt(rest % 62) + checksum;
  }
  return checksum;
}
