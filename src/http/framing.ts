/**
 * Rejects requests that a proxy and this service could interpret differently (RFC 9112, sections 3.2 and 6). Node's parser
 * rejects most of them. This file rejects those that it accepts.
 */
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";
import { invalidRequest, Problem } from "../problems/problems.ts";

/** If one of these headers is repeated, Node silently keeps the first value. */
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

/** Whether a request has a body (RFC 9112, section 6). */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;

/**
 * The path and query of a request target, also of the absolute form (RFC 9112, section 3.2.2). The host of the absolute form is
 * ignored, as `Host` is.
 * @returns `undefined` for a target without a path, or with a fragment, which clients must not send
 */
export function originForm(target: string): string | undefined {
  const [scheme = "", authority = ""] = /^https?:\/\/([^/?#]*)/i.exec(target) ?? [];
  if (scheme && !isAuthority(authority)) return undefined;
  const path = scheme ? target.slice(scheme.length).replace(/^(?!\/)/, "/") : target;
  return path.startsWith("/") && !path.includes("#") ? path : undefined;
}

/**
 * Whether a value is a host with or without a port (RFC 9110, section 7.2; RFC 3986, section 3.2.2). An empty host is not valid
 * in an `http` URI (RFC 9110, section 4.2.1). Userinfo and the zone of an IPv6 address are not sent to servers.
 */
export function isAuthority(value: string): boolean {
  const [, name, literal, port = ""] = authorityPattern.exec(value) ?? [];
  if (port.length > 5 || Number(port) > 65_535) return false;
  if (literal !== undefined) return isIPv6(literal) || futureAddress.test(literal);
  return name !== undefined && name.length <= maxNameLength;
}

/** The limit of DNS (RFC 3986, section 3.2.2). */
const maxNameLength = 255;
const authorityPattern = /^(?:((?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)|\[([\w.~!$&'()*+,;=:-]+)\])(?::(\d*))?$/i;
/** `IPvFuture` in RFC 3986. */
const futureAddress = /^v[\da-f]+\../i;
