/**
 * The context of the request that is being served: one object from the first middleware to the end of the response.
 * All code that runs for the request can read it, so that it is not passed as a parameter.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { type Networks, networksOf } from "./networks.ts";
import type { Scheme } from "./openapi/binding.ts";
import type { AnyTokenPrincipal, Principal } from "./principal.ts";
import type { ProblemSlug } from "./problems/catalogue.ts";
import type { Problem } from "./problems/problems.ts";

/** A DPoP proof (RFC 9449), and the request that has it. */
export type PresentedProof = {
  /** The header `DPoP`. If there are several, they are joined with commas. */
  text: string;
  method: string;
  /** Below the base path, with the query. */
  path: string;
};

export type RequestContext = {
  /** A UUID. The client gets it in `X-Request-Id` and as the `instance` of a problem. */
  readonly id: string;
  /** IP address of the client; `undefined` if a proxy forwards something else. */
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  /** IP address of the other end of the connection: a proxy, or the client itself. */
  readonly peer: string | undefined;
  readonly proof: PresentedProof | undefined;
  /** When the request arrived, on the clock of `performance.now()`. */
  readonly startedAt: number;
  /** When the last database query must have ended, on the same clock. */
  deadline: number;
  /** How long the request was held on purpose (`holdRequest`), and since when it is. */
  heldMs: number;
  heldSinceMs: number | undefined;
  /** Calls the listener when the response has been sent or the connection was closed. */
  readonly onClose: (listener: () => void) => void;
  /** `undefined` until the operation is found, and for requests outside the contract. */
  operation: { readonly id: string; readonly path: string } | undefined;
  /** `undefined` until the request is authenticated, and for open operations. */
  principal: Principal | AnyTokenPrincipal | undefined;
  /** The user of credentials that are optional and do not have the scopes of the operation. The request continues without. */
  withoutScopes: Principal | AnyTokenPrincipal | undefined;
  /** Why optional credentials are not valid. The request continues without. */
  refusal: Problem | undefined;
  /** The schemes of the challenges in a 401. `undefined`: those of the operation. */
  acceptedSchemes: readonly Scheme[] | undefined;
  /** The problem that the client gets. */
  problem: ProblemSlug | undefined;
  /** Why an internal error occurred. For the log only. */
  cause: Error | undefined;
  traceId: string | undefined;
};

/** Milliseconds for all queries of a request. Leaves time to respond within 3 s. */
const databaseTimeoutMs = 2_700;

const storage = new AsyncLocalStorage<RequestContext>();

export function createRequestContext(
  address: string | undefined,
  userAgent: string | undefined,
  { peer = address, proof, onClose = () => {} }: Partial<Pick<RequestContext, "peer" | "proof" | "onClose">> = {},
): RequestContext {
  const startedAt = performance.now();
  return {
    id: randomUUID(),
    address,
    userAgent,
    peer,
    proof,
    startedAt,
    deadline: startedAt + databaseTimeoutMs,
    heldMs: 0,
    heldSinceMs: undefined,
    onClose,
    operation: undefined,
    principal: undefined,
    withoutScopes: undefined,
    refusal: undefined,
    acceptedSchemes: undefined,
    problem: undefined,
    cause: undefined,
    traceId: undefined,
  };
}

/** Runs `serve`, and everything that it starts, within the context. */
export const runInRequest = <T>(context: RequestContext, serve: () => T): T => storage.run(context, serve);

/** Runs work that a request triggers but that serves everyone: its deadline and its client do not apply. */
export const runOutsideRequest = <T>(work: () => T): T => storage.exit(work);

/**
 * Runs work that a request triggers and whose result others may wait for: the deadline of the request does not apply. It still
 * runs for the client, so it takes turns of the client's network.
 */
export function runWithoutDeadline<T>(work: () => T): T {
  const context = storage.getStore();
  return context ? storage.run({ ...context, deadline: Infinity }, work) : work();
}

/** @returns `undefined` outside a request, such as in background jobs and in commands */
export const currentRequest = (): RequestContext | undefined => storage.getStore();

/** @throws {Error} outside a request */
export function requestContext(): RequestContext {
  const context = storage.getStore();
  if (!context) throw new Error("There is no request context here.");
  return context;
}

/**
 * Waits for something that the client wants to wait for, as in a long poll. The time counts neither towards the deadline nor
 * towards the duration of the request.
 * @throws {Error} outside a request
 */
export async function holdRequest<T>(wait: Promise<T>): Promise<T> {
  const context = requestContext();
  const sinceMs = performance.now();
  context.heldSinceMs = sinceMs;
  try {
    return await wait;
  } finally {
    const heldMs = performance.now() - sinceMs;
    context.heldSinceMs = undefined;
    context.heldMs += heldMs;
    context.deadline += heldMs;
  }
}

/** How long a request has been served so far, in milliseconds, without the time for which it was held. */
export function servedMs({ startedAt, heldMs, heldSinceMs }: RequestContext): number {
  return (heldSinceMs ?? performance.now()) - startedAt - heldMs;
}

/**
 * The networks of the client, from the narrowest to the widest.
 * @throws {Error} outside a request
 */
export const clientNetworks = (): Networks => networksOf(requestContext().address);
