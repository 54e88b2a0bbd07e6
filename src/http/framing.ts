/**
 * Requests that two readers could read in two ways, a proxy and this service for instance, are
 * refused (RFC 9112, sections 3.2 and 6). Node's parser refuses most of them; these it lets pass.
 */
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";
import { invalidRequest, Problem } from "../problems/problems.ts";

/** Headers of which Node silently keeps the first one. */
const onlyOnce = new Set(["host", "authorization", "content-type", "content-length", "transfer-encoding"]);
const lengthsOfOnlyOnce = new Set([...onlyOnce].map(({ length }) => length));

/** @returns the problem of an ambiguous or malformed request, or `undefined`. */
export function framingProblem({ url, rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  if (!url?.startsWith("/"))
    return new Problem("invalid-request", { detail: "The request target has no path, no valid host, or a fragment." });
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const rawName = rawHeaders[index] ?? "";
    if (!lengthsOfOnlyOnce.has(rawName.length)) continue; // most headers, without converting their names
    const name = rawName.toLowerCase();
    if (!onlyOnce.has(name)) continue;
    if (seen.has(name)) return invalidRequest({ header: name, detail: "is sent more than once" });
    seen.add(name);
  }
  if (headers.host === undefined && httpVersion !== "1.0")
    return invalidRequest({ header: "host", detail: "is missing" });
  if (headers.host !== undefined && !isAuthority(headers.host))
    return invalidRequest({ header: "host", detail: "is not a host, with or without a port" });
  const encoding = headers["transfer-encoding"];
  if (encoding !== undefined && (encoding.toLowerCase() !== "chunked" || httpVersion === "1.0")) {
    return invalidRequest({ header: "transfer-encoding", detail: "is not chunked, or is not allowed in HTTP/1.0" });
  }
  return undefined;
}

/** Whether anything follows the headers of a request (RFC 9112, section 6). */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;

/**
 * The path and query of a request's target: of the absolute form too (RFC 9112, section 3.2.2),
 * which everything behind this need not know. Its host counts in place of `Host`, and Latchkey uses neither.
 * @returns `undefined` where there is none. What follows a `#` is for the client alone, and is never sent.
 */
export function originForm(target: string): string | undefined {
  const [scheme = "", authority = ""] = /^https?:\/\/([^/?#]*)/i.exec(target) ?? [];
  if (scheme && !isAuthority(authority)) return undefined;
  const path = scheme ? target.slice(scheme.length).replace(/^(?!\/)/, "/") : target;
  return path.startsWith("/") && !path.includes("#") ? path : undefined;
}

/**
 * Whether a `Host`, or what stands in its place in a target, is a host with or without a port (RFC 9110, section 7.2;
 * RFC 3986, section 3.2.2). An empty host is valid in the grammar and is not in an `http` URI (RFC 9110, section 4.2.1);
 * userinfo and the zone of an IPv6 address are for the client alone.
 */
export function isAuthority(value: string): boolean {
  const [, name, literal, port = ""] = authorityPattern.exec(value) ?? [];
  if (port.length > 5 || Number(port) > 65_535) return false;
  if (literal !== undefined) return isIPv6(literal) || futureAddress.test(literal);
  return name !== undefined && name.length <= longestName;
}

/** As DNS has it (RFC 3986, section 3.2.2). */
const longestName = 255;
const authorityPattern = /^(?:((?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)|\[([\w.~!$&'()*+,;=:-]+)\])(?::(\d*))?$/i;
/** IPvFuture. */
const futureAddress = /^v[\da-f]+\../i;
