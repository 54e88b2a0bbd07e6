/** The HTTP server around the app: its limits, and how it stops. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Express } from "express";
import type { Logger } from "pino";
import { type ConnectionLimit, type ConnectionLimits, limitConnections } from "./connectionLimits.ts";
import { followConnections } from "./connections.ts";
import { originForm } from "./framing.ts";
import { refusal } from "./refusal.ts";
import { closeAfter, serveRequests } from "./requests.ts";
import { type Certificate, watchCertificate } from "./tls.ts";

/** How long a stop waits for requests in flight. */
const drainTimeoutMs = 10_000;
/** How long it accepts what waits in the listen queue, at most. */
const acceptTimeoutMs = 2_000;
/** Seconds in which a client takes no piece of its answer, all together. A long answer is written in pieces of 64 KiB. */
const readerTimeoutSeconds = 2;

export type Place = {
  host: string;
  port: number;
  /** With it, HTTPS is spoken. */
  certificate?: Certificate | undefined;
  isBehindProxy?: boolean;
  connectionLimits?: ConnectionLimits;
  /** Is called for each connection that is closed because of a limit. */
  onConnectionRefused?: ((limit: ConnectionLimit) => void) | undefined;
  /** Of this process alone, where others serve the same port. */
  isPrivate?: boolean;
  /** The path of `PUBLIC_URL`, for the types of problems. */
  base?: string;
};

export type RunningServer = {
  /** The address that it listens on, with the port that was picked. */
  url: string;
  /** How many are open. */
  connections(): number;
  /** Serves on, and ends each connection with its next answer. */
  drain(): void;
  /** Takes no more requests, finishes those in flight, within a bounded time. */
  close(): Promise<void>;
  /** Reads the certificate again, where there is one. */
  reload(): void;
};

/** @throws the system's error, such as EADDRINUSE */
export async function listen(app: Express, place: Place, log: Logger): Promise<RunningServer> {
  const { host, port, certificate, isBehindProxy = false, connectionLimits, isPrivate = false, base } = place;
  const limits = {
    // A request without Host is answered as a problem, by the app.
    requireHostHeader: false,
    headersTimeout: 3_000,
    requestTimeout: 8_000,
    // Often, so that a thousand that are late are not refused all at once.
    connectionsCheckingInterval: 100,
    // Above the idle timeout of common proxies (60 s), so that it is the proxy who closes. Of others an
    // idle connection may be one that does not take its answer, which the kernel keeps.
    keepAliveTimeout: isBehindProxy ? 65_000 : 3_000,
    // See app.ts.
    IncomingMessage: app.request.constructor as typeof IncomingMessage,
    ServerResponse: app.response.constructor as typeof ServerResponse,
  };
  const server: Server = certificate
    ? createTlsServer({ ...limits, ...certificate.context, handshakeTimeout: 3_000 })
    : createServer(limits);
  server.maxHeadersCount = 0; // no header is left out; their size is limited
  server.timeout = 30_000; // a client that neither sends nor reads
  if (connectionLimits) limitConnections(server, connectionLimits, log, place.onConnectionRefused);
  const connections = followConnections(server, log);
  let isDraining = false;
  const unanswered = serveRequests(server, connections, refusal(log, base), (request, response) => {
    if (isDraining) closeAfter(response);
    request.url = originForm(request.url ?? "") ?? noTarget;
    app(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen({ port, host, exclusive: isPrivate }, resolve);
  });
  const slowReaders = resetSlowReaders(connections, unanswered);
  const certificateWatch =
    certificate && watchCertificate(certificate, (context) => (server as TlsServer).setSecureContext(context), log);
  const { address, family, port: picked } = server.address() as AddressInfo;
  return {
    url: `${certificate ? "https" : "http"}://${family === "IPv6" ? `[${address}]` : address}:${picked}`,
    connections: () => connections.size,
    drain() {
      isDraining = true;
      for (const socket of connections) {
        const newest = [...unanswered(socket)].at(-1);
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

/** In place of a target that is none. Express cannot parse all of those; the app refuses what is no path. */
const noTarget = "*";

async function close(server: Server): Promise<void> {
  const deadline = setTimeout(() => server.closeAllConnections(), drainTimeoutMs);
  await acceptAll(server);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that becomes idle now would stay open until its client leaves.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  await closed;
  clearInterval(idle);
  clearTimeout(deadline);
}

/**
 * Accepts the connections that wait in the listen queue. The kernel resets those that are left when the server closes,
 * and a proxy does not repeat the POST that it has sent on one. Node accepts one connection in each turn of its loop;
 * a short turn without one means that the queue is empty.
 */
async function acceptAll(server: Server): Promise<void> {
  let hasAccepted = false;
  const onConnection = () => {
    hasAccepted = true;
  };
  server.on("connection", onConnection);
  const startedAt = performance.now();
  for (let turnAt = startedAt; turnAt - startedAt < acceptTimeoutMs; ) {
    hasAccepted = false;
    await nextTurn();
    const now = performance.now();
    if (!hasAccepted && now - turnAt < 0.5) break;
    turnAt = now;
  }
  server.off("connection", onConnection);
}

/** What a client asks for and does not take would be kept for it, as long as it pleases. */
function resetSlowReaders(
  connections: ReadonlySet<Socket>,
  unanswered: (socket: Socket) => ReadonlySet<unknown>,
): NodeJS.Timeout {
  const waits = new WeakMap<Socket, { written: number; seconds: number }>();
  return setInterval(() => {
    for (const socket of connections) {
      const { written, seconds } = waits.get(socket) ?? { written: 0, seconds: 0 };
      // The next piece is written once the one before it has been taken; the last ones by the kernel, perhaps.
      const isDone = unanswered(socket).size === 0;
      const isWaiting = socket.bytesWritten === written && (isDone ? seconds > 0 : socket.writableLength > 0);
      // A piece taken now and then wins no time back: the seconds of an answer are counted together.
      const spent = isWaiting ? seconds + 1 : isDone ? 0 : seconds;
      waits.set(socket, { written: socket.bytesWritten, seconds: spent });
      if (!isWaiting || spent < readerTimeoutSeconds) continue;
      // Only a reset makes the kernel forget its share, too, which is right unless it has all. Node has none for TLS.
      if (isDone || "encrypted" in socket) socket.destroy();
      else socket.resetAndDestroy();
    }
  }, 1_000);
}
