/** Guards for Fastify 4 and 5. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Guard } from "../guard.ts";
import type { Principal } from "../principal.ts";
import { authorize } from "./node.ts";
import { refusalOf } from "./refuse.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The caller; `undefined` if the operation is open. Set by the guard of Latchkey. */
    principal?: Principal | undefined;
  }
}

/**
 * Makes an `onRequest` hook of a guard. Handlers find the caller in `request.principal`. Add it before you register plugins with
 * routes: Fastify calls it for the routes of this instance, and of the plugins that are loaded later.
 * @example app.addHook("onRequest", fastifyGuard(guard))
 */
export function fastifyGuard(guard: Guard) {
  return (request: FastifyRequest, reply: FastifyReply, done: () => void): void =>
    authorize(guard, request.raw, request.raw.url ?? "", {
      onAllowed(principal) {
        request.principal = principal;
        done();
      },
      onRefused(error) {
        const { status, headers, problem } = refusalOf(error);
        void reply.code(status).headers(headers).send(JSON.stringify(problem));
      },
    });
}
