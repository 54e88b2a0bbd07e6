/** The security headers of every response. */
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import helmet from "helmet";

/** The headers that helmet sets. They are the same for every response, so that it sets them only once. */
export const securityHeaders: readonly (readonly [name: string, value: string])[] = (() => {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  const headers: [name: string, value: string][] = [];
  response.setHeader = (name, value) => {
    headers.push([name, String(value)]);
    return response;
  };
  const protect = helmet({
    strictTransportSecurity: false, // only over TLS
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  });
  protect(request, response, (error) => {
    if (error) throw error;
  });
  return headers;
})();

/**
 * The header that makes browsers use HTTPS only (RFC 6797). It must not be sent over plain HTTP (section 7.2).
 * @param maxAgeSeconds `off` for no header
 */
export function strictTransportSecurity(
  maxAgeSeconds: number | "off",
  includeSubDomains: boolean,
): readonly [] | readonly [name: string, value: string] {
  if (maxAgeSeconds === "off") return [];
  return ["Strict-Transport-Security", `max-age=${maxAgeSeconds}${includeSubDomains ? "; includeSubDomains" : ""}`];
}
