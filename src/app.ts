/** The order of the middleware, on one screen. */
import { IncomingMessage, ServerResponse } from "node:http";
import { parse } from "node:querystring";
import cors from "cors";
import express, { type Express, type RequestHandler } from "express";
import type { Logger } from "pino";
import type { Config } from "./config/config.ts";
import { withinOneRequest } from "./database/database.ts";
import { basePath, stripBasePath } from "./http/basePath.ts";
import { crossSiteCheck } from "./http/crossSite.ts";
import { framingProblem, hasBody } from "./http/framing.ts";
import { closeAfter } from "./http/requests.ts";
import { securityHeaders, strictTransportSecurity } from "./http/securityHeaders.ts";
import { reportProblem, requestLog } from "./observability/log.ts";
import type { Handlers } from "./openapi/binding.ts";
import type { Contract } from "./openapi/contract.ts";
import { dispatch, problemWriter } from "./openapi/dispatch.ts";
import type { Authenticator } from "./openapi/guard.ts";
import type { AnswerCheck } from "./openapi/responseCheck.ts";
import { exchangeOf, identify } from "./requestContext.ts";
import { networksOf } from "./throttling/network.ts";

type AppParts = {
  contract: Contract;
  handlers: Handlers;
  authenticator: Authenticator;
  log: Logger;
  config: Pick<
    Config,
    "trustProxy" | "corsOrigins" | "publicUrl" | "hstsMaxAgeSeconds" | "hstsIncludeSubdomains" | "documentation"
  >;
  check: AnswerCheck;
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
  app.use(identify);
  if (countRequests) app.use(countRequests);
  app.use(requestLog(log));
  app.use(warnOfProxy(config.trustProxy, log));
  if (trace) app.use(trace);
  const headersOverTls = strictTransportSecurity(config.hstsMaxAgeSeconds, config.hstsIncludeSubdomains);
  // Before CORS, which answers a preflight by itself.
  app.use((request, response, next) => {
    if (request.secure) exchangeOf(response).transportHeaders = headersOverTls;
    const problem = framingProblem(request);
    if (problem) closeAfter(response); // what follows on the connection cannot be trusted either
    next(problem);
  });
  if (config.corsOrigins) {
    app.use(protectPreflights);
    app.use(cors({ origin: allowedOrigins(config.corsOrigins), exposedHeaders, maxAge: 600 }));
  }
  app.use((request, response, next) => {
    const networks = () => networksOf(exchangeOf(response).client.address);
    withinOneRequest(networks, (extendDeadline) => {
      // Who sends a body slowly must not find that the time for the database is over.
      if (hasBody(request)) {
        let began = performance.now();
        request.once("resume", () => {
          began = performance.now();
        });
        request.once("end", () => extendDeadline(performance.now() - began));
      }
      next();
    });
  });
  const refuseCrossSite = crossSiteCheck(config.corsOrigins, config.publicUrl);
  const described = config.documentation ? `at ${base}/docs and in ${base}/openapi.yaml` : undefined;
  app.use(dispatch({ contract, handlers, authenticator, refuseCrossSite, check, described }));
  app.use(problemWriter(reportProblem, check, base));
  return app;
}

/**
 * Express gives each request and response the prototype of its app, and V8 spends more time on what it then no longer knows
 * about such an object than Express does on the request. Where the server makes them with that prototype, nothing changes.
 */
function prototypeOf<Prototype extends object>(Message: { prototype: object }, prototype: Prototype): Prototype {
  return Object.setPrototypeOf(Message.prototype, prototype);
}

/** What a browser asks before it calls is answered by cors itself, without what every other answer has. */
const protectPreflights: RequestHandler = ({ method }, response, next) => {
  if (method === "OPTIONS") {
    const { client, transportHeaders = [] } = exchangeOf(response);
    for (const [name, value] of securityHeaders) response.setHeader(name, value);
    const [name, value] = transportHeaders;
    if (name && value) response.setHeader(name, value);
    response.setHeader("X-Request-Id", client.requestId);
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
  return (request, response, next) => {
    if (request.headers["x-forwarded-for"] !== undefined) {
      if (trustProxy === undefined) warnOnce("Requests come through a proxy, and TRUST_PROXY is not set");
      else if (!exchangeOf(response).client.address)
        warnOnce("A proxy that is trusted forwards something that is no IP address");
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
