/**
 * From the contract to the handlers and back: every operation is served exactly as declared, and
 * nothing else is. The way of a request is the body of `serve`, from top to bottom.
 */
import { Readable } from "node:stream";
import { type Request, type Response, Router } from "express";
import type { CrossSiteCheck } from "../http/crossSite.ts";
import { securityHeaders } from "../http/securityHeaders.ts";
import { Problem } from "../problems/problems.ts";
import { type RequestContext, requestContext } from "../requestContext.ts";
import type { Handlers } from "./binding.ts";
import { type Contract, type DeclaredResponse, inUtf8, isJsonType, type Operation } from "./contract.ts";
import { type EncodedBody, isNamed, preferredCoding } from "./encodedBody.ts";
import { type Authenticator, authenticate, challenges } from "./guard.ts";
import type { Outgoing, ResponseCheck } from "./responseCheck.ts";
import { requestValidator } from "./validation.ts";

type DispatchParts = {
  contract: Contract;
  handlers: Handlers;
  authenticator: Authenticator;
  refuseCrossSite: CrossSiteCheck;
  /** Looks at each answer before it leaves. */
  check: ResponseCheck;
  transportHeaders: TransportHeaders;
  writeProblem: ProblemWriter;
  /** Where the API is described; `undefined` where it is not. */
  described: string | undefined;
};

/** Names and values in turn: the headers of each response to a request that came over TLS. */
export type TransportHeaders = (request: Request) => readonly string[];

/**
 * Responds with a problem.
 * @param operation `undefined` for a request to no operation
 */
export type ProblemWriter = (error: unknown, response: Response, operation?: Operation) => void;

/** Binds each operation of the contract to its handler. A path or a method beyond it is a 404 or a 405. */
export function dispatch(parts: DispatchParts): Router {
  const { contract, handlers, authenticator, refuseCrossSite, check, described } = parts;
  const { transportHeaders, writeProblem } = parts;
  const router = Router({ caseSensitive: true, strict: true });
  const validate = requestValidator(contract);

  const serve = async (operation: Operation, request: Request, response: Response): Promise<void> => {
    const context = requestContext();
    context.operation = operation;
    if (operation.method !== "get") refuseCrossSite(request);
    const principal = await authenticate(operation, request.headers.authorization, authenticator);
    context.principal = principal;
    refuseUnacceptable(operation, request);
    // The validator knows no HEAD. Node has decided already that this answer has no body.
    if (request.method === "HEAD") request.method = "GET";
    await validate(operation, request, response);
    const handler = handlers[operation.id] as unknown as AnyHandler;
    const query = operation.query.size > 0 ? request.query : {};
    const reply = await handler({ body: request.body, path: request.params, query, principal });
    const chosen = await choose(operation, reply, request, response);
    const answer = success(operation, chosen, [...transportHeaders(request), "X-Request-Id", context.id]);
    if (!check(response, answer)) throw new Error(`${operation.id} was about to break the contract`);
    send(response, answer);
  };

  for (const path of [...new Set(contract.operations.map(({ path }) => path))].sort(literalFirst)) {
    const operations = contract.operations.filter((operation) => operation.path === path);
    const route = router.route(path.replace(/\{(\w+)\}/g, ":$1"));
    for (const operation of operations)
      route[operation.method]((request: Request, response: Response) =>
        serve(operation, request, response).catch((error: unknown) => writeProblem(error, response, operation)),
      );
    const allow = operations.flatMap(({ method }) => (method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()]));
    route.all(() => {
      throw new Problem("method-not-allowed", { headers: { Allow: allow.join(", ") } });
    });
  }
  router.use(() => {
    throw new Problem("not-found", described === undefined ? {} : { detail: `The API is described ${described}.` });
  });
  return router;
}

/**
 * Writes every failure, and is the only place that does. What is not a problem, or is one that the
 * operation does not declare, is a fault of ours: a 500 that says nothing.
 * @param options.report tells the log what the client is not told.
 * @param options.base the path of `PUBLIC_URL`, which the type of each problem begins with
 */
export function problemWriter({
  report,
  check,
  transportHeaders,
  base = "",
}: {
  report: (problem: Problem) => void;
  check: ResponseCheck;
  transportHeaders: TransportHeaders;
  base?: string;
}): ProblemWriter {
  return (error, response, operation) => {
    const request = response.req;
    const destination = request.headers["sec-fetch-dest"] as string | undefined;
    const context = requestContext();
    const transport = transportHeaders(request);
    let problem = declaredProblem(operation, error);
    let answer = failure(problem, context, { operation, transport, base, destination });
    if (!check(response, answer)) {
      problem = new Problem("internal-error", { cause: new Error("A problem was about to break the contract") });
      answer = failure(problem, context, { operation, transport, base });
    }
    report(problem);
    if (response.headersSent) return void response.destroy();
    send(response, answer);
  };
}

function declaredProblem(operation: Operation | undefined, error: unknown): Problem {
  const problem =
    error instanceof Problem ? error : (unreadable(error) ?? new Problem("internal-error", { cause: error }));
  const isDeclared = !operation || operation.responses.has(problem.status);
  return isDeclared ? problem : new Problem("internal-error", { cause: error });
}

/** Express' router throws these for a path that cannot be decoded, before any operation is known. */
const unreadable = (error: unknown) =>
  error instanceof URIError
    ? new Problem("invalid-request", { errors: [{ parameter: "path", detail: "is not percent-encoded UTF-8" }] })
    : undefined;

/** An answer that the client cannot read is work for nothing (RFC 9110, section 12.5.1). */
function refuseUnacceptable(operation: Operation, request: Request): void {
  const { accept = "*/*" } = request.headers;
  if (accept === "*/*") return;
  for (const [status, { contentTypes }] of operation.responses) {
    if (status < 300 && contentTypes.length > 0 && preferredType(request, contentTypes) === undefined) {
      throw new Problem("not-acceptable", { detail: `This operation answers with ${contentTypes.join(" or ")}.` });
    }
  }
}

/** @returns the media type that `Accept` prefers, of those that it allows (RFC 9110, section 12.5.1); the first one of equals */
function preferredType(request: Request, contentTypes: readonly string[]): string | undefined {
  const accepted = request.accepts([...contentTypes, ...contentTypes.map((type) => `${type}; charset=utf-8`)]);
  return accepted === false ? undefined : accepted.replace(/; charset=utf-8$/, "");
}

/** Chooses among the representations of a successful response, where there are several. */
async function choose(operation: Operation, reply: AnyReply, request: Request, response: Response): Promise<AnyReply> {
  if (operation.responses.has(304)) return chooseCoding(reply as PreparedReply, request, response);
  const { contentTypes } = operation.responses.get(reply.status) as DeclaredResponse;
  return contentTypes.length > 1 ? chooseType(reply, contentTypes, request, response) : reply;
}

function chooseType(
  { status, headers, body }: AnyReply,
  contentTypes: readonly string[],
  request: Request,
  response: Response,
): AnyReply {
  const type = preferredType(request, contentTypes) as string; // or refuseUnacceptable would have thrown
  const chosen = (body as Record<string, unknown>)[type];
  return {
    status,
    headers: { ...headers, "Content-Type": inUtf8(type), Vary: varyBy("Accept", response) },
    body: isJsonType(type) ? JSON.stringify(chosen) : chosen,
  };
}

/** With CORS, the response depends on the origin as well. */
const varyBy = (header: string, response: Response): string =>
  [response.getHeader("Vary") ?? [], header].flat().join(", ");

/**
 * Chooses the representation that the client prefers, or a 304 where it has that one. A 304 has the headers of the 200, by which a
 * cache replaces those that it keeps (RFC 9110, section 15.4.5).
 */
async function chooseCoding({ headers, body }: PreparedReply, request: Request, response: Response): Promise<AnyReply> {
  const coding = preferredCoding(request);
  if (!coding) throw new Problem("not-acceptable", { detail: "The content codings are br, gzip and identity." });
  const { etag, read } = body[coding];
  const common = { ...headers, ETag: etag, Vary: varyBy("Accept-Encoding", response) };
  if (isNamed(etag, request.headers["if-none-match"])) return { status: 304, headers: common };
  const encoded = coding === "identity" ? common : { ...common, "Content-Encoding": coding };
  return { status: 200, headers: encoded, body: await read() };
}

/** What a handler returned, with the headers that do not depend on it. */
function success(operation: Operation, { status, headers = {}, body }: AnyReply, common: readonly string[]): Outgoing {
  const { fixedHeaders, isJson } = operation.responses.get(status) as DeclaredResponse;
  return {
    status,
    headers: [...fixedHeaders, ...common, ...Object.entries(headers).flat()],
    body: isJson && !Buffer.isBuffer(body) ? JSON.stringify(body) : (body as string | Buffer | undefined),
  };
}

/** @param options.destination the request's Sec-Fetch-Dest */
function failure(
  problem: Problem,
  { id }: RequestContext,
  {
    operation,
    transport,
    base,
    destination,
  }: {
    operation: Operation | undefined;
    transport: readonly string[];
    base: string;
    destination?: string | undefined;
  },
): Outgoing {
  const ofThis = {
    ...(problem.status === 401 && operation && { "WWW-Authenticate": challenges(operation, problem, destination) }),
    ...problem.headers,
  };
  return {
    status: problem.status,
    headers: [...problemHeaders, ...transport, "X-Request-Id", id, ...Object.entries(ofThis).flat()],
    body: JSON.stringify(problem.body(id, base)),
  };
}

const problemHeaders: readonly string[] = [
  ...securityHeaders.flat(),
  "Cache-Control",
  "no-store",
  "Content-Type",
  inUtf8("application/problem+json"),
];

/** All at once: setting one header after the other costs Node as much as the rest of an answer. */
function send(response: Response, { status, headers, body }: Outgoing): void {
  const length = body === undefined ? [] : ["Content-Length", String(Buffer.byteLength(body))];
  response.writeHead(status, [...headers, ...length]);
  if (Buffer.isBuffer(body)) inPieces(response, body);
  else response.end(body);
}

/** A long body piece by piece, so that the server sees whether its client takes them. */
function inPieces(response: Response, body: Buffer): void {
  Readable.from(piecesOf(body)).pipe(response);
}

/** Each shares the memory of the body, and there is none before it is asked for. */
function* piecesOf(body: Buffer): Generator<Buffer> {
  for (let start = 0; start < body.length; start += pieceBytes) yield body.subarray(start, start + pieceBytes);
}

const pieceBytes = 65_536;

/** `/api/users/me` before `/api/users/{id}`, as OpenAPI has it. */
const literalFirst = (a: string, b: string) => Number(a.includes("{")) - Number(b.includes("{"));

// Dispatch walks the contract at run time, where the types of one operation are those of any. That
// they fit is checked where the handlers are collected: `Handlers` in src/operations.ts.
type AnyReply = { status: number; headers?: Record<string, string>; body?: unknown };
type PreparedReply = AnyReply & { body: EncodedBody };
type AnyHandler = (call: unknown) => AnyReply | Promise<AnyReply>;
