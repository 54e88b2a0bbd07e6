/** The order of the middleware, on one screen. */
import { IncomingMessage, ServerResponse } from "node:http";
import { parse } from "node:querystring";
import cors from "cors";
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from "express";
import type { Logger } from "pino";
import type { Config } from "./config/config.ts";
import { basePath, stripBasePath } from "./http/basePath.ts";
import { clientAddress, userAgentOf } from "./http/client.ts";
import { crossSiteCheck } from "./http/crossSite.ts";
import { framingProblem, hasBody } from "./http/framing.ts";
import { closeAfter } from "./http/requests.ts";
import { securityHeaders, strictTransportSecurity } from "./http/securityHeaders.ts";
import { reportProblem, requestLog } from "./observability/log.ts";
import type { Handlers } from "./openapi/binding.ts";
import type { Contract } from "./openapi/contract.ts";
import { dispatch, problemWriter, type TransportHeaders } from "./openapi/dispatch.ts";
import type { Authenticator } from "./openapi/guard.ts";
import type { ResponseCheck } from "./openapi/responseCheck.ts";
import { createRequestContext, requestContext, runInRequest } from "./requestContext.ts";

type AppParts = {
  contract: Contract;
  handlers: Handlers;
  authenticator: Authenticator;
  log: Logger;
  config: Pick<
    Config,
    "trustProxy" | "corsOrigins" | "publicUrl" | "hstsMaxAgeSeconds" | "hstsIncludeSubdomains" | "documentation"
  >;
  check: ResponseCheck;
  /** Counts each request. */
  countRequests?: RequestHandler | undefined;
  /** Makes a span of each request. */
  trace?: RequestHandler | undefined;
};

export function createApp({
  contract,
  handlers,
  authenticator,
  log,
  config,
  check,
  countRequests,
  trace,
}: AppParts): Express {
  const app = express();
  app.request = prototypeOf(class extends IncomingMessage {}, app.request);
  app.response = prototypeOf(class extends ServerResponse {}, app.response);
  app.disable("x-powered-by");
  app.set("env", "production"); // should all else fail, Express itself answers without a stack trace
  app.disable("etag"); // those of the contract alone
  app.enable("strict routing");
  app.enable("case sensitive routing");
  app.set("query parser", (query: string) => parse(query, "&", "=", { maxKeys: 0 })); // no name goes unseen
  app.set("trust proxy", config.trustProxy ?? false);

  const base = basePath(config.publicUrl);
  const withoutBase = stripBasePath(
    base,
    contract.operations.map(({ path }) => path),
  );
  if (withoutBase) app.use(withoutBase);
  app.use((request, _response, next) =>
    runInRequest(createRequestContext(clientAddress(request), userAgentOf(request)), next),
  );
  if (countRequests) app.use(countRequests);
  app.use(requestLog(log));
  app.use(warnOfProxy(config.trustProxy, log));
  if (trace) app.use(trace);
  const headersOverTls = strictTransportSecurity(config.hstsMaxAgeSeconds, config.hstsIncludeSubdomains);
  const transportHeaders = (request: Request) => (request.secure ? headersOverTls : []);
  // Before CORS, which answers a preflight by itself.
  app.use((request, response, next) => {
    const problem = framingProblem(request);
    if (problem) closeAfter(response); // what follows on the connection cannot be trusted either
    next(problem);
  });
  if (config.corsOrigins) {
    app.use(protectPreflights(transportHeaders));
    app.use(cors({ origin: allowedOrigins(config.corsOrigins), exposedHeaders, maxAge: 600 }));
  }
  app.use(extendDeadlineForBody);
  const refuseCrossSite = crossSiteCheck(config.corsOrigins, config.publicUrl);
  const described = config.documentation ? `at ${base}/docs and in ${base}/openapi.yaml` : undefined;
  const writeProblem = problemWriter({ report: reportProblem, check, transportHeaders, base });
  app.use(
    dispatch({
      contract,
      handlers,
      authenticator,
      refuseCrossSite,
      check,
      transportHeaders,
      writeProblem,
      described,
    }),
  );
  app.use(((error, _request, response, _next) => writeProblem(error, response)) satisfies ErrorRequestHandler);
  return app;
}

/**
 * Express gives each request and response the prototype of its app, and V8 spends more time on what it then no longer knows
 * about such an object than Express does on the request. Where the server makes them with that prototype, nothing changes.
 */
function prototypeOf<Prototype extends object>(Message: { prototype: object }, prototype: Prototype): Prototype {
  return Object.setPrototypeOf(Message.prototype, prototype);
}

/** The time that a client takes to send its body does not count towards the deadline of the database. */
const extendDeadlineForBody: RequestHandler = (request, _response, next) => {
  if (hasBody(request)) {
    const context = requestContext();
    let readingSince = context.startedAt;
    request.once("resume", () => {
      readingSince = performance.now();
    });
    request.once("end", () => {
      context.deadline += performance.now() - readingSince;
    });
  }
  next();
};

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

/** Clients who cannot be told apart count as one, and lock each other out. */
function warnOfProxy(trustProxy: Config["trustProxy"], log: Logger): RequestHandler {
  let warned = false;
  const warnOnce = (message: string): void => {
    if (!warned) log.warn(`${message}: clients count as one.`);
    warned = true;
  };
  return (request, _response, next) => {
    if (request.headers["x-forwarded-for"] !== undefined) {
      if (trustProxy === undefined) warnOnce("Requests come through a proxy, and TRUST_PROXY is not set");
      else if (!requestContext().address) warnOnce("A proxy that is trusted forwards something that is no IP address");
    }
    next();
  };
}

/** What a script of another origin may read beside the body. */
const exposedHeaders = [
  "Allow",
  "Location",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "WWW-Authenticate",
  "X-Request-Id",
];

const allowedOrigins = (origins: string[]) => (origins.includes("*") ? "*" : origins);
