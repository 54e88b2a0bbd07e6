import type { IncomingMessage, ServerResponse } from "node:http";
import helmet from "helmet";

/** What helmet sets on every answer. It is the same each time, and so is asked for once. */
export const securityHeaders: readonly (readonly [name: string, value: string])[] = (() => {
  const headers: [string, string][] = [];
  const recorder = { setHeader: (...header: [string, string]) => headers.push(header), removeHeader() {} };
  const protect = helmet({
    strictTransportSecurity: false, // only over TLS: see below
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  protect({} as IncomingMessage, recorder as unknown as ServerResponse, (error) => {
    if (error) throw error;
  });
  return headers;
})();

/**
 * @param maxAgeSeconds `off` for no header
 * @returns name and value of the header that asks browsers to use HTTPS alone (RFC 6797), or nothing. It must not be sent
 * over plain HTTP (section 7.2).
 */
export function strictTransportSecurity(
  maxAgeSeconds: number | "off",
  includeSubDomains: boolean,
): readonly [] | readonly [name: string, value: string] {
  if (maxAgeSeconds === "off") return [];
  return ["Strict-Transport-Security", `max-age=${maxAgeSeconds}${includeSubDomains ? "; includeSubDomains" : ""}`];
}
