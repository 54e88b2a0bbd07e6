/**
 * Requests that two readers could read in two ways, a proxy and this service for instance, are
 * refused (RFC 9112, sections 3.2 and 6). Node's parser refuses most of them; these it lets pass.
 */
import type { IncomingMessage } from "node:http";
import { invalidRequest, type Problem } from "./problems.ts";

// Node keeps the first of several without a word.
const onlyOnce = ["host", "authorization", "content-type", "content-length", "transfer-encoding"];

/** @returns the problem of an ambiguous request, or `undefined`. */
export function ambiguity({ rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  const repeated = onlyOnce.find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (repeated) return invalidRequest({ header: repeated, detail: "is there more than once" });
  if (headers.host === undefined && httpVersion !== "1.0")
    return invalidRequest({ header: "host", detail: "is missing" });
  const encoding = headers["transfer-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "chunked") {
    return invalidRequest({ header: "transfer-encoding", detail: "is not chunked" });
  }
  return undefined;
}

/**
 * The absolute form of a target (RFC 9112, section 3.2.2) is served as its origin form, which
 * everything behind this looks at.
 */
export const originForm = (target: string): string => target.replace(/^https?:\/\/[^/?#]*\/?/i, "/");
