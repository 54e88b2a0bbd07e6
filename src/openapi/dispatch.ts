/** Serves the operations of the contract, and nothing else. */
import { type Request, type RequestHandler, type Response, Router } from "express";
import type { CrossSiteCheck } from "../http/crossSite.ts";
import { follow } from "../lib/follow.ts";
import { Problem } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import type { Handlers } from "./binding.ts";
import type { Contract, DeclaredResponse, Operation } from "./contract.ts";
import { readCookies } from "./cookies.ts";
import { readFormText } from "./formBody.ts";
import { type Authenticator, authorize } from "./guard.ts";
import { needsNegotiation, negotiate, requireAcceptable } from "./negotiation.ts";
import type { ProblemWriter, TransportHeaders } from "./problemWriter.ts";
import { createResponse, type HandlerReply, send } from "./response.ts";
import type { ResponseCheck } from "./responseCheck.ts";
import type { RequestValidator } from "./validation.ts";

type DispatchParts = {
  contract: Contract;
  handlers: Handlers;
  validate: RequestValidator;
  authenticator: Authenticator;
  requireSameSite: CrossSiteCheck;
  /** Checks each response before it is sent. */
  check: ResponseCheck;
  transportHeaders: TransportHeaders;
  writeProblem: ProblemWriter;
  /** Where a client finds the documentation, for the 404; `undefined` if it is not served. */
  described: string | undefined;
};

type Serve = (operation: Operation, request: Request, response: Response) => void;

export type Dispatch = {
  serve: RequestHandler;
  /** Finds the operation of a request. @returns `undefined` as well if its path has parameters */
  find(request: Request): Operation | undefined;
};

/** Binds each operation of the contract to its handler. Any other path is a 404, any other method a 405. */
export function dispatch(parts: DispatchParts): Dispatch {
  const { contract, described } = parts;
  const serve = operationServer(parts);
  const route = router(contract, serve, described);
  const fixedPaths = operationsByFixedPath(contract);
  const find = ({ url, method }: Request) => fixedPaths.get(withoutQuery(url))?.get(method);
  return {
    serve(request, response, next) {
      // The router would try one route after the other.
      const operation = find(request);
      if (operation) serve(operation, request, response);
      else route(request, response, next);
    },
    find,
  };
}

function withoutQuery(url: string): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

/** @returns a function that serves a request for an operation, and responds with a problem if that fails */
function operationServer(parts: DispatchParts): Serve {
  const { validate, authenticator, requireSameSite, check, transportHeaders, writeProblem } = parts;
  const handlers: AnyHandlers = parts.handlers;

  return (operation, request, response) => {
    const context = requestContext();

    const handle = () => {
      context.operation = operation;
      const handler = handlers[operation.id];
      if ("navigate" in handler) return navigate(handler);
      if (operation.method !== "get") requireSameSite(request, proofOf(operation));
      const { authorization } = request.headers;
      if (typeof handler !== "function") {
        const input = handler.guardInvalid ? validInputOr(handler.guardInvalid, authorization) : validInput();
        return follow(input, (valid) => follow(handler.guardAndHandle(valid, authorization), selectRepresentation));
      }
      return follow(authorize(operation, authorization, authenticator), (principal) => {
        context.principal = principal;
        return follow(validInput(), (input) => follow(handler({ ...input, principal }), selectRepresentation));
      });
    };
    const navigate = async (handler: AnyNavigationHandler) => {
      requireAcceptable(operation, request);
      const text = operation.form ? await readFormText(request, response) : queryOf(request.url);
      return selectRepresentation(await handler.navigate(text, cookiesOf(operation, request)));
    };
    const validInput = () => {
      requireAcceptable(operation, request);
      // The validator does not support HEAD. Node has already decided that this response has no body.
      if (request.method === "HEAD") request.method = "GET";
      return follow(validate(operation, request, response), () => {
        const query = operation.query.size > 0 ? request.query : {};
        const header = operation.headers.length > 0 ? headersOf(operation, request) : {};
        return { body: request.body, path: request.params, query, header, cookie: cookiesOf(operation, request) };
      });
    };
    const validInputOr = async (guardInvalid: GuardInvalid, authorization: string | undefined) => {
      try {
        return await validInput();
      } catch (fault) {
        // After the timeout of a body, the time left may not suffice to authenticate.
        const hasTimedOut = fault instanceof Problem && fault.slug === "request-timeout";
        if (!hasTimedOut) await guardInvalid(authorization, request.body);
        throw fault;
      }
    };
    const selectRepresentation = (reply: HandlerReply) => {
      const declared = operation.responses.get(reply.status) as DeclaredResponse;
      if (!needsNegotiation(operation, declared)) return respond(reply);
      return negotiate(operation, reply, { request, response }).then(respond);
    };
    const respond = (reply: HandlerReply) => {
      const declared = operation.responses.get(reply.status) as DeclaredResponse;
      const common = [...transportHeaders(request), "X-Request-Id", context.id];
      const outgoing = createResponse(declared, reply, common);
      if (!check(response, outgoing)) throw new Error(`the response of ${operation.id} violates the contract`);
      send(response, outgoing);
    };
    const respondToError = (error: unknown) => writeProblem(error, response, operation);

    try {
      handle()?.catch(respondToError);
    } catch (error) {
      respondToError(error);
    }
  };
}

/** The part of a request that can authenticate it. */
const proofOf = ({ cookies, schemes }: Operation): "cookie" | "authorization" | undefined =>
  cookies.length > 0 ? "cookie" : schemes.length > 0 ? "authorization" : undefined;

const cookiesOf = ({ cookies }: Operation, { headers }: Request): Record<string, string> =>
  cookies.length > 0 ? readCookies(cookies, headers.cookie) : {};

const queryOf = (url: string): string => url.slice(withoutQuery(url).length + 1);

/** The declared header parameters of a request, under their names in the contract. */
const headersOf = ({ headers }: Operation, request: Request): Record<string, unknown> =>
  Object.fromEntries(headers.map((name) => [name, request.headers[name.toLowerCase()]]));

/** Operations whose path has no parameters, by path and method. */
function operationsByFixedPath({ operations }: Contract): Map<string, Map<string, Operation>> {
  const byPath = new Map<string, Map<string, Operation>>();
  for (const operation of operations) {
    if (operation.path.includes("{")) continue;
    const byMethod = byPath.get(operation.path) ?? new Map<string, Operation>();
    byPath.set(operation.path, byMethod);
    for (const method of requestMethods(operation)) byMethod.set(method, operation);
  }
  return byPath;
}

function router({ operations }: Contract, serve: Serve, described: string | undefined): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const path of [...new Set(operations.map(({ path }) => path))].sort(fixedFirst)) {
    const ofPath = operations.filter((operation) => operation.path === path);
    const route = router.route(path.replace(/\{(\w+)\}/g, ":$1"));
    for (const operation of ofPath)
      route[operation.method]((request: Request, response: Response) => serve(operation, request, response));
    const allow = ofPath.flatMap(requestMethods);
    route.all(() => {
      throw new Problem("method-not-allowed", { allow });
    });
  }
  router.use(() => {
    throw new Problem("not-found", described === undefined ? {} : { detail: `The API is described ${described}.` });
  });
  return router;
}

const requestMethods = ({ method }: Operation): string[] =>
  method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()];

/** `/api/users/me` takes precedence over `/api/users/{id}`, as in OpenAPI. */
const fixedFirst = (a: string, b: string) => Number(a.includes("{")) - Number(b.includes("{"));

/**
 * The handlers, as they are called for an operation that is known only at run time. `Handlers` has checked each of them
 * against its operation. Methods are bivariant in their parameters, so that no cast is needed.
 */
type AnyHandlers = { [Id in keyof Handlers]: AnyHandler["handle"] | AnyGuardingHandler | AnyNavigationHandler };
type AnyHandler = { handle(call: AnyInput & { principal: unknown }): HandlerReply | Promise<HandlerReply> };
type GuardInvalid = (authorization: string | undefined, body: unknown) => unknown;
type AnyGuardingHandler = {
  guardAndHandle(input: AnyInput, authorization: string | undefined): HandlerReply | Promise<HandlerReply>;
  guardInvalid?: GuardInvalid;
};
type AnyNavigationHandler = {
  navigate(text: string, cookie: unknown): HandlerReply | Promise<HandlerReply>;
};
type AnyInput = { [Name in "body" | "path" | "query" | "header" | "cookie"]: unknown };
