/** What is said to what is not HTTP: Node's parser refuses it before the app, and the answer is of the same kind. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import { Problem } from "./contract/problems.ts";

/** How long a refused client may take to read why. */
const lingerMs = 1_000;

/** @returns the answers that a connection is waiting for, in the order of their requests. */
export function answersOf(server: Server, refuse: Refuse): (socket: Socket) => Set<ServerResponse> {
  type Exchange = { pending: Set<ServerResponse>; latest?: IncomingMessage };
  const exchanges = new WeakMap<Socket, Exchange>();
  const exchangeOf = (socket: Socket): Exchange => {
    const exchange = exchanges.get(socket) ?? { pending: new Set() };
    exchanges.set(socket, exchange);
    return exchange;
  };
  server.on("request", (request, response) => {
    const exchange = exchangeOf(request.socket);
    exchange.latest = request;
    exchange.pending.add(response);
    response.on("close", () => exchange.pending.delete(response));
  });
  server.on("clientError", (error: ParserError, socket: Socket) => {
    const { pending, latest } = exchangeOf(socket);
    const [answer] = pending;
    // Ours must not stand in place of an answer that is due first or has begun, nor follow one that
    // was given before its request had arrived.
    const isDue = pending.size === 0 ? (latest?.complete ?? true) : pending.size === 1 && !answer?.headersSent;
    if (!socket.writable || error.code === "ECONNRESET" || !isDue) return void socket.destroy();
    refuse(socket, error.code, latest ? undefined : methodOf(error));
  });
  // Without a listener, Node answers with a status that is not in the contract or hangs up.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("connect", (_request, socket: Socket) =>
    exchangeOf(socket).pending.size > 0 ? void socket.destroy() : refuse(socket, "CONNECT"),
  );
  return (socket) => exchangeOf(socket).pending;
}

type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** Of the first request on a connection. Where it came in parts this is a guess, which the end of the connection excuses. */
const methodOf = ({ rawPacket }: ParserError) => rawPacket?.subarray(0, 16).toString("latin1").split(" ")[0];

/** @param method of the request, as far as it is known: an answer to HEAD has no body */
export type Refuse = (socket: Socket, code: string | undefined, method?: string) => void;

/** Answers with a 400, and ends the connection: what follows on it cannot be read. */
export function refusal(log: Logger): Refuse {
  return (socket, code, method) => {
    const id = randomUUID();
    const problem = new Problem("invalid-request", { detail: reasons[code ?? ""] ?? "This is not HTTP/1.1." });
    const body = JSON.stringify(problem.body(id));
    log.info({ req: { id, address: socket.remoteAddress }, problem: problem.slug, code }, "request refused");
    socket.end(
      [
        "HTTP/1.1 400 Bad Request",
        `X-Request-Id: ${id}`,
        "Cache-Control: no-store",
        "Content-Type: application/problem+json; charset=utf-8",
        `Content-Length: ${Buffer.byteLength(body)}`,
        "Connection: close",
        "",
        method === "HEAD" ? "" : body,
      ].join("\r\n"),
    );
    // Its own end may never come.
    const linger = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(linger));
  };
}

const reasons: Record<string, string> = {
  HPE_HEADER_OVERFLOW: "The headers are larger than 16 KiB.",
  ERR_HTTP_REQUEST_TIMEOUT: "The request did not arrive in time.",
  CONNECT: "This is not a proxy.",
  TARGET: "The target of the request has no path, or a fragment.",
};
