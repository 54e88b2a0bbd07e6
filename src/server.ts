/** The HTTP server around the app: its limits, what it says to what is not HTTP, and how it stops. */
import { randomUUID } from "node:crypto";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Logger } from "pino";
import { Problem } from "./contract/problems.ts";

/** How long a stop waits for requests in flight. */
const drainTimeoutMs = 10_000;

export type RunningServer = {
  /** The address that it listens on, with the port that was picked. */
  url: string;
  /** Takes no more requests, finishes those in flight, within a bounded time. */
  close(): Promise<void>;
};

/** @throws the system's error, such as EADDRINUSE */
export async function listen(app: RequestListener, host: string, port: number, log: Logger): Promise<RunningServer> {
  const server = createServer(
    {
      // A request without Host is answered as a problem, by the app.
      requireHostHeader: false,
      headersTimeout: 3_000,
      requestTimeout: 10_000,
      connectionsCheckingInterval: 500,
      // Above the idle timeout of common proxies (60 s), so that it is the proxy who closes.
      keepAliveTimeout: 65_000,
    },
    app,
  );
  answerWhatIsNotHttp(server, log);
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

/** What Node's parser refuses never reaches the app, and gets the same kind of answer here. */
function answerWhatIsNotHttp(server: Server, log: Logger): void {
  const answering = new WeakSet<object>();
  server.on("request", (request, response) => {
    answering.add(request.socket);
    response.once("close", () => answering.delete(request.socket));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (!socket.writable || error.code === "ECONNRESET" || answering.has(socket)) return void socket.destroy();
    refuse(socket, error.code);
  });
  // Without a listener, Node answers with a status that is not in the contract or hangs up.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("connect", (_request, socket: Socket) => refuse(socket, "CONNECT"));

  function refuse(socket: Socket, code: string | undefined): void {
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
  }
}

const reasons: Record<string, string> = {
  HPE_HEADER_OVERFLOW: "The headers are larger than 16 KiB.",
  ERR_HTTP_REQUEST_TIMEOUT: "The request did not arrive in time.",
  CONNECT: "This is not a proxy.",
};
