/** Parses the Authorization header strictly. */
import { isUtf8 } from "node:buffer";
import { invalidRequest } from "../problems/problems.ts";

export type Credentials = BasicCredentials | { scheme: "bearer" | "dpop"; token: string };
type BasicCredentials = { scheme: "basic"; username: string; password: string };

/**
 * Parses the credentials of a request (RFC 7617 with UTF-8, RFC 6750, RFC 9449).
 * @returns `undefined` without credentials, and for another scheme
 * @throws {Problem} `invalid-request` for malformed Basic credentials. A malformed Bearer token is an `invalid-token`, and not
 * rejected here
 */
export function parseAuthorization(header: string | undefined): Credentials | undefined {
  // The most common cases, without the slower pattern.
  if (header?.startsWith("Bearer ey") || header?.startsWith("Bearer lk_"))
    return { scheme: "bearer", token: header.slice("Bearer ".length) };
  const [, scheme = "", value = ""] = /^([!#$%&'*+.^_`|~\w-]+)(?: +(.*))?$/.exec(header ?? "") ?? [];
  switch (scheme.toLowerCase()) {
    case "basic":
      return { scheme: "basic", ...parseBasic(value) };
    case "dpop":
      return { scheme: "dpop", token: value };
    case "bearer":
      return { scheme: "bearer", token: value };
    default:
      return undefined;
  }
}

/** Accepts only canonical base64 (RFC 4648, section 4), so that credentials have one encoding. */
function parseBasic(value: string): { username: string; password: string } {
  const bytes = Buffer.from(value, "base64");
  if (value === "" || bytes.toString("base64") !== value) throw malformed("is not base64");
  // Node would replace invalid UTF-8, so that two passwords would become one.
  if (!isUtf8(bytes)) throw malformed("is not UTF-8");
  const text = bytes.toString();
  const colon = text.indexOf(":");
  if (colon < 0) throw malformed("has no colon between username and password");
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

const malformed = (what: string) => invalidRequest({ header: "Authorization", detail: `The Basic value ${what}.` });

/** Longer Basic usernames are tokens. In UTF-16 units. */
export const maxUsernameLength = 256;

/** Whether a text begins like a JWS with a JSON header. Such a name cannot be registered. */
export const beginsLikeToken = (text: string): boolean => /^eyJ[^.]*\./.test(text);

/** Whether a Basic username is meant to be a token. */
const hasTokenShape = (username: string): boolean => beginsLikeToken(username) || username.length > maxUsernameLength;

/** Whether a credential is meant to be an API key, percent-encoded or not. Such a name cannot be registered. */
export const hasApiKeyShape = (credential: string): boolean => /^lk(?:_|%5[Ff])[\w-]{32,}$/.test(credential);

/**
 * The token or the API key in Basic credentials. A standard OAuth client sends its `client_id` and `client_secret` in this way, each
 * percent-encoded (RFC 6749, section 2.3.1). Tokens and keys contain no `%`, so that others may send them as they are.
 * @param acceptsApiKeys whether an API key may also be the password. A password of that form is not one there
 * @returns `undefined` for a username and a password
 */
export function bearerIn({ username, password }: BasicCredentials, acceptsApiKeys: boolean): string | undefined {
  if (hasTokenShape(username) || hasApiKeyShape(username)) return percentDecoded(username);
  return acceptsApiKeys && clientSecret.test(password) ? percentDecoded(password) : undefined;
}

/** An API key of the right length. */
const clientSecret = /^lk(?:_|%5[Ff])[0-9A-Za-z]{49}$/;

/** A malformed escape stays as it is: no valid token or key has one. */
function percentDecoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
