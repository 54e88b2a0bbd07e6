/** The HTTP server around the app: its limits, what it says to what is not HTTP, and how it stops. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Logger } from "pino";
import { originForm } from "./contract/framing.ts";
import { Problem } from "./contract/problems.ts";

/** How long a stop waits for requests in flight. */
const drainTimeoutMs = 10_000;
/** Requests that one connection may have sent ahead. Node would run all that arrive, at once. */
const pipelineLength = 8;

export type RunningServer = {
  /** The address that it listens on, with the port that was picked. */
  url: string;
  /** Takes no more requests, finishes those in flight, within a bounded time. */
  close(): Promise<void>;
};

/** @throws the system's error, such as EADDRINUSE */
export async function listen(app: RequestListener, host: string, port: number, log: Logger): Promise<RunningServer> {
  const server = createServer({
    // A request without Host is answered as a problem, by the app.
    requireHostHeader: false,
    headersTimeout: 3_000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 500,
    // Above the idle timeout of common proxies (60 s), so that it is the proxy who closes.
    keepAliveTimeout: 65_000,
  });
  server.maxHeadersCount = 0; // no header is left out; their size is limited
  server.timeout = 30_000; // a client that neither sends nor reads
  const refuse = refusal(log);
  const answering = answersOf(server, refuse);
  server.on("request", (request, response) => {
    const path = originForm(request.url ?? "");
    const pending = answering(request.socket).size; // this one's answer is among them
    // A refusal is written at once: it must not stand in place of an answer that is due before it.
    if (pending > (path === undefined ? 1 : pipelineLength)) return void request.socket.destroy();
    if (path === undefined) return refuse(request.socket, "TARGET");
    request.url = path;
    app(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  const { address, family, port: picked } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${picked}`,
    close: () => close(server),
  };
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that becomes idle now would stay open until its client leaves.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
  await closed;
  clearInterval(idle);
  clearTimeout(deadline);
}

/**
 * What Node's parser refuses never reaches the app, and gets the same kind of answer here.
 * @returns the answers that a connection is waiting for.
 */
function answersOf(server: Server, refuse: Refuse): (socket: Socket) => Set<ServerResponse> {
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
    response.once("close", () => exchange.pending.delete(response));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    const { pending, latest } = exchangeOf(socket);
    const [answer] = pending;
    // Ours must not stand in place of an answer that is due first or has begun, nor follow one that
    // was given before its request had arrived.
    const isDue = pending.size === 0 ? (latest?.complete ?? true) : pending.size === 1 && !answer?.headersSent;
    if (!socket.writable || error.code === "ECONNRESET" || !isDue) return void socket.destroy();
    refuse(socket, error.code);
  });
  // Without a listener, Node answers with a status that is not in the contract or hangs up.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("connect", (_request, socket: Socket) =>
    exchangeOf(socket).pending.size > 0 ? void socket.destroy() : refuse(socket, "CONNECT"),
  );
  return (socket) => exchangeOf(socket).pending;
}

type Refuse = (socket: Socket, code: string | undefined) => void;

/** Answers with a 400, and ends the connection: what follows on it cannot be read. */
function refusal(log: Logger): Refuse {
  return (socket, code) => {
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
        body,
      ].join("\r\n"),
    );
  };
}

const reasons: Record<string, string> = {
  HPE_HEADER_OVERFLOW: "The headers are larger than 16 KiB.",
  ERR_HTTP_REQUEST_TIMEOUT: "The request did not arrive in time.",
  CONNECT: "This is not a proxy.",
  TARGET: "The target of the request has no path.",
};
