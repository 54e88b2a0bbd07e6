/** The Authorization header, read strictly: what is not exactly right is refused, never guessed. */
import { invalidRequest } from "../problems/problems.ts";

export type Credentials = { scheme: "basic"; username: string; password: string } | { scheme: "bearer"; token: string };

/**
 * Reads the credentials of a request (RFC 7617 with UTF-8, RFC 6750).
 * @returns `undefined` where there are none, or none of a scheme that is known here.
 * @throws {Problem} `invalid-request` for Basic credentials that are not well-formed. A malformed
 * Bearer token is not refused here: it is an invalid token, which is another problem.
 */
export function parseAuthorization(header: string | undefined): Credentials | undefined {
  if (header?.startsWith("Bearer ey")) return { scheme: "bearer", token: header.slice("Bearer ".length) }; // nearly always
  const [, scheme = "", value = ""] = /^([!#$%&'*+.^_`|~\w-]+)(?: +(.*))?$/.exec(header ?? "") ?? [];
  switch (scheme.toLowerCase()) {
    case "basic":
      return { scheme: "basic", ...parseBasic(value) };
    case "bearer":
      return { scheme: "bearer", token: value };
    default:
      return undefined;
  }
}

/** What curl and browsers send, and no second way to write the same (RFC 4648, section 4). */
function parseBasic(value: string): { username: string; password: string } {
  const bytes = Buffer.from(value, "base64");
  if (value === "" || bytes.toString("base64") !== value) throw malformed("is not base64");
  const text = decodeUtf8(bytes);
  const colon = text.indexOf(":");
  if (colon < 0) throw malformed("has no colon between username and password");
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Node's own decoding would replace what is not UTF-8, and make two passwords one. */
function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed("is not UTF-8");
  }
}

const malformed = (what: string) => invalidRequest({ header: "Authorization", detail: `The Basic value ${what}.` });

/**
 * Whether a Basic username is meant to be a token: it begins like a JWS with a JSON header, or is
 * longer than the contract lets a username be. Nobody can register under such a name.
 */
export const hasTokenShape = (username: string): boolean => /^eyJ[^.]*\./.test(username) || username.length > 256;
