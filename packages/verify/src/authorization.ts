/** Parses the Authorization header as strictly as Latchkey does. */
import type { CreateRefusal } from "./refusal.ts";
import { decodeBase64url } from "./signature.ts";

export type Credential = { kind: "token" | "api-key"; text: string };

/**
 * Finds the token or the API key of a request (RFC 6750, or RFC 7617 with the credential in place of the username).
 * @throws {Refusal} `authentication-required`, or `invalid-request` for malformed Basic credentials and for several headers
 */
export function parseCredential(header: string | null | undefined, refusal: CreateRefusal): Credential {
  const [, scheme = "", value = ""] = /^([!#$%&'*+.^_`|~\w-]+)(?: +(.*))?$/.exec(header ?? "") ?? [];
  requireOneHeader(value, refusal);
  switch (scheme.toLowerCase()) {
    case "bearer":
      return { kind: hasApiKeyShape(value) ? "api-key" : "token", text: value };
    case "basic": {
      const username = basicUsername(value, refusal);
      if (hasApiKeyShape(username)) return { kind: "api-key", text: username };
      if (hasTokenShape(username)) return { kind: "token", text: username };
      throw refusal("authentication-required", {
        detail: "This service does not accept a username and password. Send a token or an API key, with Bearer.",
      });
    }
    default:
      throw refusal("authentication-required");
  }
}

/**
 * Several headers are joined by commas, which no credential contains.
 * @throws {Refusal} `invalid-request`, as Latchkey: a proxy may have checked another one
 */
export function requireOneHeader(value: string, refusal: CreateRefusal): void {
  if (!/, *(?:basic|bearer|dpop) /i.test(value)) return;
  throw refusal("invalid-request", { errors: [{ header: "Authorization", detail: "There are several." }] });
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function basicUsername(value: string, refusal: CreateRefusal): string {
  const malformed = (what: string) =>
    refusal("invalid-request", { errors: [{ header: "Authorization", detail: `The Basic value ${what}.` }] });
  const urlSafe = value.replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");
  const bytes = value !== "" && base64.test(value) ? decodeBase64url(urlSafe) : undefined;
  if (!bytes) throw malformed("is not base64");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed("is not UTF-8");
  }
  const colon = text.indexOf(":");
  if (colon < 0) throw malformed("has no colon between username and password");
  return text.slice(0, colon);
}

/** Whether a Basic username is meant to be a token. No user can have such a name. */
const hasTokenShape = (username: string): boolean => /^eyJ[^.]*\./.test(username) || username.length > 256;

/** Whether a credential is meant to be an API key. No user can have such a name. */
const hasApiKeyShape = (credential: string): boolean => /^lk_[\w-]{32,}$/.test(credential);
