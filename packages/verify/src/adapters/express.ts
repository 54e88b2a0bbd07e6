/** Guards for Express 4 and 5. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Guard } from "../guard.ts";
import type { Principal } from "../principal.ts";
import { authorize, respond } from "./node.ts";

declare global {
  namespace Express {
    interface Request {
      /** The caller; `undefined` if the operation is open. Set by the guard of Latchkey. */
      principal?: Principal | undefined;
    }
  }
}

type ExpressRequest = IncomingMessage & { originalUrl: string; principal?: Principal | undefined };

/**
 * Makes a middleware of a guard. Later handlers find the caller in `request.principal`.
 * @example app.use(expressGuard(guard))
 */
export function expressGuard(guard: Guard) {
  // In a mounted router, `url` lacks the beginning of the path.
  return (request: ExpressRequest, response: ServerResponse, next: () => void): void =>
    authorize(guard, request, request.originalUrl, {
      onAllowed(principal) {
        request.principal = principal;
        next();
      },
      // Not `next(error)`: an error handler of the application could continue.
      onRefused: (error) => respond(response, error),
    });
}
