/** Responds with a problem to requests that Node's parser rejects. */
import { randomUUID } from "node:crypto";
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { oauthError } from "../problems/oauthErrors.ts";
import { Problem } from "../problems/problems.ts";
import { securityHeaders } from "./securityHeaders.ts";

/** How long a rejected client may take to read the response. */
const lingerMs = 1_000;
/** Node's code for a request that arrives too slowly. */
export const timeoutCode = "ERR_HTTP_REQUEST_TIMEOUT";

/** @param request what is known of it: the response to HEAD has no body */
export type Refuse = (socket: Socket, code: string, request?: Pick<IncomingMessage, "method" | "url">) => void;

export type RefusalOptions = {
  /** The path of `PUBLIC_URL`. */
  base?: string;
  /** Whether the errors of a request target have the form of OAuth (RFC 6749, section 5.2). */
  isOAuthPath?(target: string): boolean;
};

/** Writes a 400 or a 408 to the socket and closes it, because the rest of the connection cannot be parsed. */
export function refusal(log?: Logger, { base = "", isOAuthPath = () => false }: RefusalOptions = {}): Refuse {
  return (socket, code, { method, url = "" } = {}) => {
    if (!socket.writable) return;
    const id = randomUUID();
    const problem = problemOf(code);
    const isOAuth = isOAuthPath(url);
    const described = problem.body(id, base);
    const body = JSON.stringify(isOAuth ? oauthError(problem, described) : described);
    log?.info({ req: { id, address: socket.remoteAddress }, problem: problem.slug, code }, "request refused");
    socket.end(
      [
        `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
        ...securityHeaders.map(([name, value]) => `${name}: ${value}`),
        `X-Request-Id: ${id}`,
        "Cache-Control: no-store",
        `Content-Type: application/${isOAuth ? "json" : "problem+json"}; charset=utf-8`,
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
