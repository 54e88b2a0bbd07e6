/** Tracks the open connections of a server, and handles their errors, which would otherwise end the process. */
import type { Server } from "node:http";
import { Server as TlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Logger } from "pino";

/**
 * Handles the errors of the server and of every socket that it accepts. A socket without an `error` listener ends the
 * process when its peer resets it, and Node removes its own listener from the sockets of CONNECT and of upgrades.
 * @returns the open connections that are ready for HTTP: with TLS, those whose handshake is complete
 */
export function trackConnections(server: Server, log?: Logger): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  const destroyOnError = (socket: Socket) => void socket.on("error", () => socket.destroy());
  const track = (socket: Socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  };
  server.on("connection", destroyOnError);
  if (server instanceof TlsServer) {
    server.on("secureConnection", (socket: Socket) => {
      destroyOnError(socket);
      track(socket);
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
  } else {
    server.on("connection", track);
  }
  reportAcceptErrors(server, log);
  return connections;
}

/** Logs that connections cannot be accepted, for example if no file descriptors are left. At most once a second. */
function reportAcceptErrors(server: Server, log?: Logger): void {
  let isReported = false;
  server.on("error", (err) => {
    if (!server.listening || isReported) return; // the caller of listen() reports why the server cannot listen
    isReported = true;
    setTimeout(() => {
      isReported = false;
    }, 1_000).unref();
    log?.warn({ err }, "could not accept a connection");
  });
}
