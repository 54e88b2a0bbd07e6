/**
 * Responds with problems (RFC 9457), or with the errors of OAuth or with pages for operations that declare them. No other code writes
 * the response to a failed request.
 */
import type { Request, Response } from "express";
import { securityHeaders } from "../http/securityHeaders.ts";
import { oauthError, registrationProblem } from "../problems/oauthErrors.ts";
import { Problem, type ProblemBody } from "../problems/problems.ts";
import { requestContext } from "../requestContext.ts";
import { inUtf8, type Operation } from "./contract.ts";
import { challenges, scopeChallenge } from "./guard.ts";
import { oauthPaths } from "./oauthPaths.ts";
import { joinHeaders, type OutgoingResponse, send } from "./response.ts";
import type { ResponseCheck } from "./responseCheck.ts";

/**
 * Responds with a problem. An error that is not a problem, or a problem that the operation does not declare, becomes
 * an `internal-error` without details.
 * @param operation `undefined` if the request matches no operation
 */
export type ProblemWriter = (error: unknown, response: Response, operation?: Operation) => void;

/** Alternating names and values: the headers of each response to a request that came over TLS. */
export type TransportHeaders = (request: Request) => readonly string[];

type Parts = {
  /** Logs the problem and its cause. */
  report: (problem: Problem) => void;
  check: ResponseCheck;
  transportHeaders: TransportHeaders;
  /** If a request matches none of them, an error below the folder of an OAuth operation has the form of OAuth as well. */
  operations?: readonly Operation[];
  /** The path of `PUBLIC_URL`, with which the type of each problem begins. */
  base?: string;
  /** Renders a problem for operations whose errors are pages. */
  errorPage?: ErrorPage;
};

/** @returns the page, and the headers that depend on it */
export type ErrorPage = (problem: Problem, body: ProblemBody) => { headers: Record<string, string>; body: string };

export function problemWriter(parts: Parts): ProblemWriter {
  const { report, check, transportHeaders, operations = [], base = "", errorPage } = parts;
  const isOAuthPath = oauthPaths(operations);

  const respond = (problem: Problem, request: Request, operation: Operation | undefined): OutgoingResponse => {
    const { id } = requestContext();
    const challengesOf = challengesFor(problem, operation, request);
    const own = { ...(challengesOf && { "WWW-Authenticate": challengesOf }), ...headersOf(problem) };
    const body = problem.body(id, base);
    const isOAuth = operation ? operation.hasOAuthErrors : isOAuthPath(request.url);
    const undeclaredHeaders = isOAuth ? oauthErrorHeaders : problemHeaders;
    const fixedHeaders = operation?.responses.get(problem.status)?.fixedHeaders ?? undeclaredHeaders;
    const common = [...transportHeaders(request), "X-Request-Id", id];
    if (operation?.hasErrorPages && errorPage) {
      const page = errorPage(problem, body);
      return {
        status: problem.status,
        headers: joinHeaders(fixedHeaders, common, { ...own, ...page.headers }),
        body: page.body,
      };
    }
    return {
      status: problem.status,
      headers: joinHeaders(fixedHeaders, common, own),
      body: JSON.stringify(isOAuth ? oauthError(problem, body, isForTokens(operation)) : body),
    };
  };

  return (error, response, operation) => {
    const { req: request } = response;
    let problem = declaredProblem(operation, error);
    let outgoing = respond(problem, request, operation);
    if (!check(response, outgoing)) {
      problem = new Problem("internal-error", { cause: new Error("a problem response violates the contract") });
      outgoing = respond(problem, request, operation);
    }
    report(problem);
    if (response.headersSent) response.destroy();
    else send(response, outgoing);
  };
}

const errorHeaders = (contentType: string): readonly string[] => [
  ...securityHeaders.flat(),
  "Cache-Control",
  "no-store",
  "Content-Type",
  inUtf8(contentType),
];
const problemHeaders = errorHeaders("application/problem+json");
const oauthErrorHeaders = errorHeaders("application/json");

/** Seconds in `Retry-After` of every 503: long enough for a restart of the database, and short enough for a person. */
const unavailableSeconds = 2;

/** The headers of RFC 9110 and draft-ietf-httpapi-ratelimit-headers. */
function headersOf({ status, allow, rateLimit, scope }: Problem): Record<string, string> {
  if (scope) return { "WWW-Authenticate": scopeChallenge(scope) };
  if (allow) return { Allow: allow.join(", ") };
  if (rateLimit) {
    const { name, quota, windowSeconds, retryAfterSeconds } = rateLimit;
    return {
      "Retry-After": String(retryAfterSeconds),
      "RateLimit-Policy": `"${name}";q=${quota};w=${windowSeconds}`,
      RateLimit: `"${name}";r=0;t=${retryAfterSeconds}`,
    };
  }
  return status === 503 ? { "Retry-After": String(unavailableSeconds) } : {};
}

function declaredProblem(operation: Operation | undefined, error: unknown): Problem {
  const problem =
    error instanceof Problem ? error : (undecodable(error) ?? new Problem("internal-error", { cause: error }));
  const isDeclared = !operation || operation.responses.has(problem.status);
  if (!isDeclared) return new Problem("internal-error", { cause: error });
  // The validator rejects members before the handler does, and does not know the codes of RFC 7591.
  return operation?.id === "registerClient" ? registrationProblem(problem) : problem;
}

/** Express throws a URIError for a path that cannot be decoded, before the operation is known. */
const undecodable = (error: unknown): Problem | undefined =>
  error instanceof URIError
    ? new Problem("invalid-request", { errors: [{ parameter: "path", detail: "is not percent-encoded UTF-8" }] })
    : undefined;

function challengesFor(problem: Problem, operation: Operation | undefined, request: Request): string[] | undefined {
  if (problem.status !== 401 || !operation) return undefined;
  const schemes = requestContext().acceptedSchemes ?? operation.schemes;
  return challenges(schemes, problem, request.headers["sec-fetch-dest"] as string | undefined);
}

const isForTokens = (operation: Operation | undefined): boolean =>
  operation?.schemes.every((scheme) => scheme === "bearerAuth") === true && operation.schemes.length > 0;
