/** Responds with a problem to requests that Node's parser rejects. */
import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { Problem } from "../problems/problems.ts";
import { securityHeaders } from "./securityHeaders.ts";

/** How long a rejected client may take to read the response. */
const lingerMs = 1_000;
/** Node's code for a request that arrives too slowly. */
export const timeoutCode = "ERR_HTTP_REQUEST_TIMEOUT";

/** @param method of the request, if it is known: the response to HEAD has no body */
export type Refuse = (socket: Socket, code: string, method?: string) => void;

/**
 * Writes a 400 or a 408 to the socket and closes it, because the rest of the connection cannot be parsed.
 * @param base the path of `PUBLIC_URL`
 */
export function refusal(log?: Logger, base = ""): Refuse {
  return (socket, code, method) => {
    if (!socket.writable) return;
    const id = randomUUID();
    const problem = problemOf(code);
    const body = JSON.stringify(problem.body(id, base));
    log?.info({ req: { id, address: socket.remoteAddress }, problem: problem.slug, code }, "request refused");
    socket.end(
      [
        `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
        ...securityHeaders.map(([name, value]) => `${name}: ${value}`),
        `X-Request-Id: ${id}`,
        "Cache-Control: no-store",
        "Content-Type: application/problem+json; charset=utf-8",
        `Content-Length: ${Buffer.byteLength(body)}`,
        "Connection: close",
        "",
        method === "HEAD" ? "" : body,
      ].join("\r\n"),
    );
    // The client may never close its side.
    const linger = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(linger));
  };
}

/** @param code of the parser's error */
export const problemOf = (code: string): Problem =>
  code === timeoutCode
    ? new Problem("request-timeout", { detail: "The request did not arrive in time." })
    : new Problem("invalid-request", { detail: details[code] ?? "This is not HTTP/1.1." });

const details: Record<string, string> = {
  HPE_HEADER_OVERFLOW: "The headers are larger than 16 KiB.",
  CONNECT: "This is not a proxy.",
};
