/** Reads cookies (RFC 6265, section 4.2). */
import type { CookieParameter } from "./contract.ts";

/**
 * The declared cookies of a request. All programs on a host share its cookies. Therefore a value that does not match its pattern is
 * no error, and is treated as absent. So is a cookie that was sent twice: it is unknown which value is the right one.
 */
export function readCookies(declared: readonly CookieParameter[], header = ""): Record<string, string> {
  const values = new Map<string, string[]>();
  for (const pair of header.split(";")) {
    const separator = pair.indexOf("=");
    if (separator < 0) continue;
    const name = pair.slice(0, separator).trim();
    values.set(name, [...(values.get(name) ?? []), pair.slice(separator + 1).trim()]);
  }
  const cookies: Record<string, string> = {};
  for (const { name, pattern } of declared) {
    const [value, ...others] = values.get(name) ?? [];
    if (value !== undefined && others.length === 0 && pattern.test(value)) cookies[name] = value;
  }
  return cookies;
}
