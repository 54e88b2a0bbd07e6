/**
 * Requests that two readers could read in two ways, a proxy and this service for instance, are
 * refused (RFC 9112, sections 3.2 and 6). Node's parser refuses most of them; these it lets pass.
 */
import type { IncomingMessage } from "node:http";
import { invalidRequest, type Problem } from "./problems.ts";

// Node keeps the first of several without a word.
const onlyOnce = new Set(["host", "authorization", "content-type", "content-length", "transfer-encoding"]);

/** @returns the problem of an ambiguous request, or `undefined`. */
export function ambiguity({ rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? "";
    if (!onlyOnce.has(name)) continue;
    if (seen.has(name)) return invalidRequest({ header: name, detail: "is there more than once" });
    seen.add(name);
  }
  if (headers.host === undefined && httpVersion !== "1.0")
    return invalidRequest({ header: "host", detail: "is missing" });
  const encoding = headers["transfer-encoding"];
  if (encoding !== undefined && (encoding.toLowerCase() !== "chunked" || httpVersion === "1.0")) {
    return invalidRequest({ header: "transfer-encoding", detail: "is not chunked, or not for HTTP/1.0" });
  }
  return undefined;
}

/** Whether anything follows the headers of a request (RFC 9112, section 6). */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;

/**
 * The path and query of a request's target: of the absolute form too (RFC 9112, section 3.2.2),
 * which everything behind this need not know.
 * @returns `undefined` where there is none. What follows a `#` is for the client alone, and is never sent.
 */
export function originForm(target: string): string | undefined {
  const path = target.replace(/^https?:\/\/[^/?#]*\/?/i, "/");
  return path.startsWith("/") && !path.includes("#") ? path : undefined;
}
