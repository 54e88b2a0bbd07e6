/** Guards for servers of `node:http`, `node:https` and `node:http2`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Guard } from "../guard.ts";
import type { Principal } from "../principal.ts";
import { refusalOf } from "./refuse.ts";

/** @param principal `undefined` if the operation is open */
export type GuardedHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  principal: Principal | undefined,
) => unknown;

/**
 * Puts a guard in front of a request handler.
 * @example createServer(guarded(guard, (request, response, principal) => { … }))
 */
export function guarded(guard: Guard, handler: GuardedHandler) {
  return (request: IncomingMessage, response: ServerResponse): void =>
    authorize(guard, request, request.url ?? "", {
      onAllowed: (principal) => void handler(request, response, principal),
      onRefused: (error) => respond(response, error),
    });
}

type Outcome = { onAllowed(principal: Principal | undefined): void; onRefused(error: unknown): void };

/** Calls one of two functions, synchronously if the credential was verified before. `onRefused` gets no errors of `onAllowed`. */
export function authorize(
  guard: Guard,
  request: Pick<IncomingMessage, "method" | "headers" | "rawHeaders">,
  url: string,
  { onAllowed, onRefused }: Outcome,
): void {
  let authorized: ReturnType<Guard["authorize"]>;
  try {
    const { method = "", headers } = request;
    const fetchDestination = headers["sec-fetch-dest"]?.toString();
    authorized = guard.authorize({ method, url, authorization: authorizationOf(request), fetchDestination });
  } catch (error) {
    onRefused(error);
    return;
  }
  if (authorized instanceof Promise) void authorized.then(onAllowed, onRefused);
  else onAllowed(authorized);
}

/** Joins several headers, as `Headers` does: Node.js would choose the first, and a proxy perhaps another one. */
function authorizationOf({ headers, rawHeaders }: Pick<IncomingMessage, "headers" | "rawHeaders">): string | undefined {
  let joined: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    if (name.length !== "authorization".length || name.toLowerCase() !== "authorization") continue;
    const value = rawHeaders[index + 1] ?? "";
    joined = joined === undefined ? value : `${joined}, ${value}`;
  }
  return joined ?? headers.authorization;
}

/** Responds with a refusal, if nothing else has responded meanwhile, such as a timeout: an error here would end the process. */
export function respond(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return;
  const { status, headers, problem } = refusalOf(error);
  response.writeHead(status, headers).end(JSON.stringify(problem));
}
