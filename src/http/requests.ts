/**
 * Tracks the requests of each connection and their responses, in order. A request that cannot be parsed gets a problem, after the
 * responses to earlier requests. Nothing after it is processed.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { problemOf, type Refuse, timeoutCode } from "./refusal.ts";

/** Limit on pipelined requests of a connection. Node would run all of them at the same time. */
const maxPipelined = 8;
/** How long a connection that ends with an error waits for earlier responses. */
const earlierResponsesTimeoutMs = 10_000;

type RequestAndResponse = { request: IncomingMessage; response: ServerResponse };
type Connection = {
  /** In the order of their requests. There is rarely more than one. */
  unfinished: ServerResponse[];
  latest?: RequestAndResponse;
  /** Requests that arrived after the last one that gets a response. */
  ignored: number;
};
type ParserError = NodeJS.ErrnoException & { rawPacket?: Buffer };

/** Connections that close after a response. Later requests are not processed (RFC 9112, section 9.6). */
const closing = new WeakSet<Socket>();

/** Closes the connection after a response. */
export function closeAfter(response: ServerResponse): void {
  const { socket } = response.req;
  closing.add(socket);
  if (!response.headersSent) response.setHeader("Connection", "close");
  else if (!response.writableFinished) response.once("close", () => socket.end());
}

/**
 * @param connections the connections that are ready for HTTP
 * @param handle is called for each request to process
 * @returns a function that returns the unfinished responses of a connection, in the order of their requests
 */
export function serveRequests(
  server: Server,
  connections: ReadonlySet<Socket>,
  refuse: Refuse,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): (socket: Socket) => readonly ServerResponse[] {
  const known = new WeakMap<Socket, Connection>();
  /** Requests whose body is late or malformed. Each later chunk is another error. */
  const failed = new WeakSet<IncomingMessage>();
  const connectionOf = (socket: Socket): Connection => {
    let connection = known.get(socket);
    if (!connection) {
      connection = { unfinished: [], ignored: 0 };
      known.set(socket, connection);
    }
    return connection;
  };

  server.on("request", (request, response) => {
    const { socket } = request;
    const connection = connectionOf(socket);
    if (closing.has(socket)) {
      // Node keeps each of them until the earlier responses are written.
      connection.ignored += 1;
      if (connection.ignored > maxPipelined) socket.destroy();
      return;
    }
    const { unfinished } = connection;
    connection.latest = { request, response };
    unfinished.push(response);
    response.on("close", () => remove(unfinished, response));
    if (unfinished.length > maxPipelined) return void socket.destroy();
    // The upgrade is ignored (RFC 9110, section 7.8). Node drops the rest of the packet, and would parse the next packet, which
    // may be the rest of a body, as a request.
    if (request.headers.upgrade !== undefined) closeAfter(response);
    handle(request, response);
  });

  server.on("clientError", (error: ParserError, socket: Socket) => {
    const { code = "" } = error;
    // After a reset or a TLS error no response can be sent.
    if (!connections.has(socket) || !(code === timeoutCode || code.startsWith("HPE_"))) return void socket.destroy();
    const { unfinished, latest } = connectionOf(socket);
    if (latest && !latest.request.complete) return failBody(socket, unfinished, latest, code);
    // Browsers open connections in advance, and would mistake this response for the one to their next request.
    if (code === timeoutCode && socket.bytesRead === 0) return void socket.destroy();
    // If an earlier request of the connection is unfinished, the packet may begin with it.
    refuseInOrder(socket, code, unfinished.length > 0 ? undefined : methodOf(error));
  });

  // Without a listener, Node responds with an undeclared status or closes the connection.
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
  server.on("connect", (_request, socket: Socket) => {
    socket.resume(); // unread bytes would reset the connection before the client has read the response
    refuseInOrder(socket, "CONNECT");
  });

  /** Rejects an unparsable request, after the responses to earlier ones. */
  function refuseInOrder(socket: Socket, code: string, method?: string): void {
    if (closing.has(socket)) return;
    closing.add(socket);
    const newest = connectionOf(socket).unfinished.at(-1);
    afterResponse(socket, newest, () => refuse(socket, code, method === undefined ? {} : { method }));
  }

  /** The body of the newest request cannot be read, or has not arrived in time. */
  function failBody(
    socket: Socket,
    unfinished: readonly ServerResponse[],
    latest: RequestAndResponse,
    code: string,
  ): void {
    const { request, response } = latest;
    if (failed.has(request)) return;
    failed.add(request);
    const isFinished = !unfinished.includes(response);
    closeAfter(response);
    if (isFinished) return void socket.destroy();
    if (response.headersSent) return;
    // The body reader responds, in the order of the requests.
    if (request.listenerCount("error") > 0) return void request.emit("error", problemOf(code));
    const before = unfinished.at(-2);
    afterResponse(socket, before, () => {
      if (!response.headersSent) refuse(socket, code, request);
    });
  }

  return (socket) => connectionOf(socket).unfinished;
}

function remove<Item>(items: Item[], item: Item): void {
  const index = items.indexOf(item);
  if (index >= 0) items.splice(index, 1);
}

/** Calls `next` when a response, and so all earlier ones, have been written. Closes the connection if that takes too long. */
function afterResponse(socket: Socket, response: ServerResponse | undefined, next: () => void): void {
  if (!response) return void next();
  const deadline = setTimeout(() => socket.destroy(), earlierResponsesTimeoutMs);
  socket.once("close", () => clearTimeout(deadline));
  response.once("close", next);
}

/** The method of the first request on a connection. It may be wrong if the head arrived in parts, which does no harm. */
const methodOf = ({ rawPacket }: ParserError) => rawPacket?.subarray(0, 16).toString("latin1").split(" ")[0];
