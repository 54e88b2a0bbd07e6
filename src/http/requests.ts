/**
 * The requests of each connection and their answers, in order. What cannot be parsed gets an answer of the contract's
 * kind, after the answers that are due before it, and nothing behind it is processed.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { problemOf, type Refuse, timeoutCode } from "./refusal.ts";

/** Requests that one connection may have sent ahead. Node would run all that arrive, at once. */
const pipelineLength = 8;
/** How long a connection that ends with an error may wait for the answers that are due before. */
const dueTimeoutMs = 10_000;

type Exchange = { request: IncomingMessage; response: ServerResponse };
type Connection = {
  unanswered: Set<ServerResponse>;
  latest?: Exchange;
  /** How many requests have arrived behind the last one that is answered. */
  ignored: number;
};
type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** Connections whose last answer is known. What arrives behind its request is not processed (RFC 9112, section 9.6). */
const closing = new WeakSet<Socket>();

/** Makes an answer the last one of its connection. */
export function closeAfter(response: ServerResponse): void {
  const { socket } = response.req;
  closing.add(socket);
  if (!response.headersSent) response.setHeader("Connection", "close");
  else if (!response.writableFinished) response.once("close", () => socket.end());
}

/**
 * @param connections those that are ready for HTTP
 * @param handle is called for each request that is to be processed
 * @returns the answers that a connection is waiting for, in the order of their requests
 */
export function serveRequests(
  server: Server,
  connections: ReadonlySet<Socket>,
  refuse: Refuse,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): (socket: Socket) => ReadonlySet<ServerResponse> {
  const known = new WeakMap<Socket, Connection>();
  /** Requests whose body is known to be late or malformed: each piece that follows is another error. */
  const failed = new WeakSet<IncomingMessage>();
  const connectionOf = (socket: Socket): Connection => {
    const connection = known.get(socket) ?? { unanswered: new Set(), ignored: 0 };
    known.set(socket, connection);
    return connection;
  };

  server.on("request", (request, response) => {
    const { socket } = request;
    const connection = connectionOf(socket);
    if (closing.has(socket)) {
      // Node keeps each until the answers before it are written.
      connection.ignored += 1;
      if (connection.ignored > pipelineLength) socket.destroy();
      return;
    }
    const { unanswered } = connection;
    connection.latest = { request, response };
    unanswered.add(response);
    response.on("close", () => unanswered.delete(response));
    if (unanswered.size > pipelineLength) return void socket.destroy();
    // It is answered without the upgrade (RFC 9110, section 7.8). Node drops what follows it in the same packet, and would
    // take the next packet, which may be the rest of a body, for a request.
    if (request.headers.upgrade !== undefined) closeAfter(response);
    handle(request, response);
  });

  server.on("clientError", (error: ParserError, socket: Socket) => {
    const { code = "" } = error;
    // After a reset or a failure of TLS there is nobody to answer.
    if (!connections.has(socket) || !(code === timeoutCode || code.startsWith("HPE_"))) return void socket.destroy();
    const { unanswered, latest } = connectionOf(socket);
    if (latest && !latest.request.complete) return failBody(socket, unanswered, latest, code);
    // Browsers open connections in advance, and take an unrequested answer for that to their next request.
    if (code === timeoutCode && socket.bytesRead === 0) return void socket.destroy();
    refuseWhenDue(socket, code, latest ? undefined : methodOf(error));
  });

  // Without a listener, Node answers with a status that is not in the contract or hangs up.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("connect", (_request, socket: Socket) => {
    socket.resume(); // nobody reads it any more; unread bytes would reset the connection before the answer is read
    refuseWhenDue(socket, "CONNECT");
  });

  /** Refuses what cannot be a request, once the requests before it have been answered. */
  function refuseWhenDue(socket: Socket, code: string, method?: string): void {
    if (closing.has(socket)) return;
    closing.add(socket);
    const newest = [...connectionOf(socket).unanswered].at(-1);
    afterAnswer(socket, newest, () => refuse(socket, code, method));
  }

  /** The body of the newest request cannot be read, or has not arrived in time. */
  function failBody(socket: Socket, unanswered: Set<ServerResponse>, exchange: Exchange, code: string): void {
    const { request, response } = exchange;
    if (failed.has(request)) return;
    failed.add(request);
    const isAnswered = !unanswered.has(response);
    closeAfter(response);
    if (isAnswered) return void socket.destroy();
    if (response.headersSent) return;
    // The body reader responds, in the order of the requests.
    if (request.listenerCount("error") > 0) return void request.emit("error", problemOf(code));
    const before = [...unanswered].at(-2);
    afterAnswer(socket, before, () => {
      if (!response.headersSent) refuse(socket, code, request.method);
    });
  }

  return (socket) => connectionOf(socket).unanswered;
}

/** Calls back when an answer has been written, within a bounded time: all answers before it have been written then, too. */
function afterAnswer(socket: Socket, answer: ServerResponse | undefined, next: () => void): void {
  if (!answer) return void next();
  const deadline = setTimeout(() => socket.destroy(), dueTimeoutMs);
  socket.once("close", () => clearTimeout(deadline));
  answer.once("close", next);
}

/** The method of the first request on a connection. May be wrong where its head arrived in parts; the connection is closed anyway. */
const methodOf = ({ rawPacket }: ParserError) => rawPacket?.subarray(0, 16).toString("latin1").split(" ")[0];
