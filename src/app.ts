/** The middleware stack, in order. */
import { IncomingMessage, ServerResponse } from "node:http";
import { parse } from "node:querystring";
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from "express";
import type { Logger } from "pino";
import type { Config } from "./config/config.ts";
import { basePath, stripBasePath } from "./http/basePath.ts";
import { clientAddress, userAgentOf } from "./http/client.ts";
import { allowOrigins } from "./http/cors.ts";
import { crossSiteCheck } from "./http/crossSite.ts";
import { framingProblem, hasBody } from "./http/framing.ts";
import { closeAfter } from "./http/requests.ts";
import { securityHeaders, strictTransportSecurity } from "./http/securityHeaders.ts";
import { reportProblem, requestLog } from "./observability/log.ts";
import type { Handlers } from "./openapi/binding.ts";
import type { Contract } from "./openapi/contract.ts";
import { type Dispatch, dispatch } from "./openapi/dispatch.ts";
import type { Authenticator } from "./openapi/guard.ts";
import { type ErrorPage, problemWriter, type TransportHeaders } from "./openapi/problemWriter.ts";
import type { ResponseCheck } from "./openapi/responseCheck.ts";
import type { RequestValidator } from "./openapi/validation.ts";
import { createRequestContext, type PresentedProof, requestContext, runInRequest } from "./requestContext.ts";

type ApiParts = {
  contract: Contract;
  handlers: Handlers;
  validate: RequestValidator;
  authenticator: Authenticator;
  config: Pick<
    Config,
    "trustProxy" | "corsOrigins" | "publicUrl" | "hstsMaxAgeSeconds" | "hstsIncludeSubdomains" | "documentation"
  >;
  check: ResponseCheck;
  errorPage: ErrorPage;
};

/** The operations of the contract, without the middleware around them. */
export type Api = Pick<ApiParts, "contract" | "config"> & {
  dispatch: Dispatch;
  writeProblem: ReturnType<typeof problemWriter>;
  transportHeaders: TransportHeaders;
  base: string;
};

export function createApi({ contract, handlers, validate, authenticator, config, check, errorPage }: ApiParts): Api {
  const base = basePath(config.publicUrl);
  const hsts = strictTransportSecurity(config.hstsMaxAgeSeconds, config.hstsIncludeSubdomains);
  const transportHeaders: TransportHeaders = (request) => (request.secure ? hsts : []);
  const writeProblem = problemWriter({
    report: reportProblem,
    check,
    transportHeaders,
    operations: contract.operations,
    base,
    errorPage,
  });
  const dispatcher = dispatch({
    contract,
    handlers,
    validate,
    authenticator,
    requireSameSite: crossSiteCheck(config.corsOrigins, config.publicUrl),
    check,
    transportHeaders,
    writeProblem,
    described: config.documentation ? `at ${base}/docs and in ${base}/openapi.yaml` : undefined,
  });
  return { contract, config, dispatch: dispatcher, writeProblem, transportHeaders, base };
}

/** Observers of each request: log, metrics and traces. */
type Observers = {
  log: Logger;
  /** Counts each request. */
  countRequests?: RequestHandler | undefined;
  /** Starts a span for each request. */
  trace?: RequestHandler | undefined;
};

export function createApp(
  { contract, config, dispatch, writeProblem, transportHeaders, base }: Api,
  { log, countRequests, trace }: Observers,
): Express {
  const app = createExpress(config.trustProxy);
  const paths = contract.operations.map(({ path }) => path);
  const stripBase = stripBasePath(base, paths);
  if (stripBase) app.use(stripBase);
  app.use(beginRequest(config.trustProxy, log));
  if (countRequests) app.use(countRequests);
  if (trace) app.use(trace);
  app.use(checkFraming);
  if (config.corsOrigins) app.use(protectPreflights(transportHeaders), allowOrigins(config.corsOrigins));
  app.use(dispatch.serve);
  const respondToError: ErrorRequestHandler = (error, request, response, _next) => {
    const operation = dispatch.find(request);
    requestContext().operation = operation;
    writeProblem(error, response, operation);
  };
  app.use(respondToError);
  return app;
}

function createExpress(trustProxy: Config["trustProxy"]): Express {
  const app = express();
  app.request = prototypeOf(class extends IncomingMessage {}, app.request);
  app.response = prototypeOf(class extends ServerResponse {}, app.response);
  app.disable("x-powered-by");
  app.set("env", "production"); // without stack traces in the responses that Express writes by itself
  app.disable("etag"); // the contract declares which responses have one
  app.enable("strict routing");
  app.enable("case sensitive routing");
  app.set("query parser", (query: string) => parse(query, "&", "=", { maxKeys: 0 })); // no parameter is dropped
  app.set("trust proxy", trustProxy ?? false);
  return app;
}

/**
 * Express sets the prototype of each request and response to that of its app, which makes V8 discard its optimizations. If the
 * server creates them with that prototype, setting it again changes nothing.
 */
function prototypeOf<Prototype extends object>(Message: { prototype: object }, prototype: Prototype): Prototype {
  return Object.setPrototypeOf(Message.prototype, prototype);
}

/** Opens the context of each request, and logs its end. */
function beginRequest(trustProxy: Config["trustProxy"], log: Logger): RequestHandler {
  const logRequest = requestLog(log);
  const warnAboutProxy = proxyWarning(trustProxy, log);
  return (request, response, next) => {
    // Express would parse X-Forwarded-For, and ignore it.
    const { remoteAddress } = request.socket;
    const address = trustProxy === undefined ? remoteAddress : clientAddress(request);
    const onClose = (listener: () => void) => void (response.closed ? listener() : response.once("close", listener));
    const proof = presentedProof(request);
    const context = createRequestContext(address, userAgentOf(request), { peer: remoteAddress, proof, onClose });
    logRequest(context, request, response);
    warnAboutProxy(request, address);
    runInRequest(context, next);
  };
}

function presentedProof({ headers, method, url }: Request): PresentedProof | undefined {
  const { dpop } = headers;
  return dpop === undefined ? undefined : { text: String(dpop), method, path: url };
}

/** Warns once if all clients seem to have one address: they would share the rate limits, and lock each other out. */
function proxyWarning(trustProxy: Config["trustProxy"], log: Logger) {
  let hasWarned = false;
  const warnOnce = (message: string): void => {
    if (!hasWarned) log.warn(`${message}: clients share one rate limit`);
    hasWarned = true;
  };
  return (request: Request, address: string | undefined): void => {
    if (hasWarned || request.headers["x-forwarded-for"] === undefined) return;
    if (trustProxy === undefined) warnOnce("requests come through a proxy, but TRUST_PROXY is not set");
    else if (address === undefined) warnOnce("a trusted proxy forwards a client address that is not an IP address");
  };
}

const checkFraming: RequestHandler = (request, response, next) => {
  const problem = framingProblem(request);
  if (problem)
    closeAfter(response); // the rest of the connection cannot be trusted either
  else if (hasBody(request)) extendDeadlineForBody(request);
  next(problem);
};

/** The time that a client takes to send its body does not count towards the deadline of the database. */
function extendDeadlineForBody(request: Request): void {
  const context = requestContext();
  let readingSince = context.startedAt;
  request.once("resume", () => {
    readingSince = performance.now();
  });
  request.once("end", () => {
    context.deadline += performance.now() - readingSince;
  });
}

/** `cors` responds to a preflight by itself, without the headers of every other response. */
const protectPreflights =
  (transportHeaders: TransportHeaders): RequestHandler =>
  (request, response, next) => {
    if (request.method === "OPTIONS") {
      for (const [name, value] of securityHeaders) response.setHeader(name, value);
      const [name, value] = transportHeaders(request);
      if (name && value) response.setHeader(name, value);
      response.setHeader("X-Request-Id", requestContext().id);
    }
    next();
  };
