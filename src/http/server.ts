/** The HTTP server of the app: its limits, and how it drains and closes. */
import cluster from "node:cluster";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Express } from "express";
import type { Logger } from "pino";
import { type ConnectionLimit, type ConnectionLimits, limitConnections } from "./connectionLimits.ts";
import { trackConnections } from "./connections.ts";
import { originForm } from "./framing.ts";
import { emptyListenQueue } from "./listenQueue.ts";
import { type RefusalOptions, refusal } from "./refusal.ts";
import { closeAfter, serveRequests } from "./requests.ts";
import { type Certificate, watchCertificate } from "./tls.ts";

/** How long closing waits for requests in flight. */
const drainTimeoutMs = 10_000;
/** How many seconds in total a client may stall a response. Long responses are written in chunks of 64 KiB. */
const readerTimeoutSeconds = 2;

export type ServerOptions = RefusalOptions & {
  host: string;
  port: number;
  /** For HTTPS. */
  certificate?: Certificate | undefined;
  isBehindProxy?: boolean;
  connectionLimits?: ConnectionLimits;
  /** Called for each connection that is closed because of a limit. */
  onConnectionRefused?: ((limit: ConnectionLimit) => void) | undefined;
  /** Whether the port belongs to this process only, and not to all workers. */
  isPrivate?: boolean;
};

export type RunningServer = {
  /** The address with the actual port. */
  url: string;
  /** The number of open connections. */
  connections(): number;
  /** Closes each connection after its next response, while still serving. */
  drain(): void;
  /** Stops accepting requests and finishes those in flight, within a bounded time. */
  close(): Promise<void>;
  /** Reloads the certificate, if there is one. */
  reload(): void;
};

/** @throws the system's error, such as EADDRINUSE */
export async function listen(app: Express, options: ServerOptions, log: Logger): Promise<RunningServer> {
  const { host, port, certificate, isBehindProxy = false, connectionLimits, isPrivate = false } = options;
  const limits = {
    // The app responds with a problem.
    requireHostHeader: false,
    headersTimeout: 3_000,
    requestTimeout: 8_000,
    // Short, so that a thousand late requests are not rejected all at once.
    connectionsCheckingInterval: 100,
    // Longer than the idle timeout of common proxies (60 s), so that the proxy closes first. Without a proxy, an idle
    // connection may belong to a client that does not read its response, which stays in the kernel.
    keepAliveTimeout: isBehindProxy ? 65_000 : 3_000,
    // See `prototypeOf` in app.ts.
    IncomingMessage: app.request.constructor as typeof IncomingMessage,
    ServerResponse: app.response.constructor as typeof ServerResponse,
  };
  const server: Server = certificate
    ? createTlsServer({ ...limits, ...certificate.context, handshakeTimeout: 3_000 })
    : createServer(limits);
  server.maxHeadersCount = 0; // no header is dropped; their total size is limited
  server.timeout = 40_000; // for a client that neither sends nor reads; a long poll is held for 30 s
  if (connectionLimits) limitConnections(server, connectionLimits, log, options.onConnectionRefused);
  const connections = trackConnections(server, log);
  let isDraining = false;
  const unfinished = serveRequests(server, connections, refusal(log, options), (request, response) => {
    if (isDraining) closeAfter(response);
    const target = request.url ?? "";
    request.url = originForm(target) ?? noTarget + (target.startsWith("/") ? target : "");
    app(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen({ port, host, exclusive: isPrivate }, resolve);
  });
  const slowReaders = resetSlowReaders(connections, unfinished);
  const certificateWatch =
    certificate && watchCertificate(certificate, (context) => (server as TlsServer).setSecureContext(context), log);
  const { address, family, port: picked } = server.address() as AddressInfo;
  return {
    url: `${certificate ? "https" : "http"}://${family === "IPv6" ? `[${address}]` : address}:${picked}`,
    connections: () => connections.size,
    drain() {
      isDraining = true;
      for (const socket of connections) {
        const newest = unfinished(socket).at(-1);
        if (newest && !newest.headersSent) closeAfter(newest);
      }
    },
    reload: () => certificateWatch?.reload(),
    async close() {
      await certificateWatch?.close();
      await close(server);
      clearInterval(slowReaders);
    },
  };
}

/** Precedes an invalid target, which Express may fail to parse. The app rejects this one. */
const noTarget = "*";

async function close(server: Server): Promise<void> {
  const deadline = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
  // The port of workers is closed by their primary.
  if (server.listening && !cluster.isWorker) await emptyListenQueue(server);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // Connections that become idle later would stay open until their clients close them.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearInterval(idle);
  clearTimeout(deadline);
}

/** Closes connections whose clients do not read their responses, which would stay in memory. */
function resetSlowReaders(
  connections: ReadonlySet<Socket>,
  unfinished: (socket: Socket) => readonly unknown[],
): NodeJS.Timeout {
  const waits = new WeakMap<Socket, { written: number; seconds: number }>();
  return setInterval(() => {
    for (const socket of connections) {
      const { written, seconds } = waits.get(socket) ?? { written: 0, seconds: 0 };
      // A chunk is written when the previous one has been read, or is in the buffer of the kernel.
      const isDone = unfinished(socket).length === 0;
      const isWaiting = socket.bytesWritten === written && (isDone ? seconds > 0 : socket.writableLength > 0);
      // The seconds of a response add up, so that reading a little now and then does not extend them.
      const spent = isWaiting ? seconds + 1 : isDone ? 0 : seconds;
      waits.set(socket, { written: socket.bytesWritten, seconds: spent });
      if (!isWaiting || spent < readerTimeoutSeconds) continue;
      // A reset also drops the buffer of the kernel, which must not happen to a complete response. Node has no reset for TLS.
      if (isDone || "encrypted" in socket) socket.destroy();
      else socket.resetAndDestroy();
    }
  }, 1_000);
}
