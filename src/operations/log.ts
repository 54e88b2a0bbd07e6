/**
 * The log: JSON lines with the id that the client got in `X-Request-Id`. What a request carries
 * (headers, query, body, the values in its path) is never in it: there may be a secret anywhere.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestHandler, Response } from "express";
import { type DestinationStream, type Logger, pino } from "pino";
import { type HttpLogger, pinoHttp } from "pino-http";
import pretty from "pino-pretty";
import type { Audit } from "../audit/audit.ts";
import type { Operation } from "../contract/contract.ts";
import { addressOf } from "../contract/dispatch.ts";
import type { Problem, ProblemSlug } from "../contract/problems.ts";

/** What readiness says of a stop that somebody asked for: no error. */
const planned: ProblemSlug = "shutting-down";

/** Beyond it lines are dropped, rather than kept for a reader that has stopped. */
const mostUnwrittenBytes = 67_108_864;

/** @param stream where it is written, for people if that is a terminal */
export function createLog(level: string, stream: NodeJS.WriteStream & { fd: number }): Logger {
  const options = { level, serializers: { err: describeError } };
  const destination = stream.fd;
  return stream.isTTY
    ? pino(options, pretty({ sync: true, singleLine: true, ignore: "pid,hostname", destination }) as DestinationStream)
    : // Who reads the log slowly must not make everybody wait for a write; what is due at the end is still written.
      pino(options, pino.destination({ fd: destination, sync: false, maxLength: mostUnwrittenBytes }));
}

/** Gives each request its id, and writes a line when it has been answered. */
export function requestLog(log: Logger): RequestHandler {
  const http: HttpLogger = pinoHttp({
    logger: log,
    genReqId: () => randomUUID(),
    wrapSerializers: false,
    serializers: {
      req: describeRequest,
      // Without an answer there is no status, whatever it would have been.
      res: (response: ServerResponse) => ({ status: response.headersSent ? response.statusCode : undefined }),
      err: describeError,
    },
    customProps: (_request, response) => {
      const { operation, problem, traceId } = (response as Response).locals as Locals;
      return { operation: operation?.id, problem, trace_id: traceId };
    },
    customLogLevel: (_request, response) => {
      const { problem } = (response as Response).locals as Locals;
      return response.statusCode >= 500 && problem !== planned ? "error" : "info";
    },
  });
  return (request, response, next) => {
    http(request, response);
    response.set("X-Request-Id", String(request.id));
    next();
  };
}

/** Tells the line of a request which problem it got, and the cause that the client is not told. */
export function reportProblem(response: Response, problem: Problem): void {
  response.locals["problem"] = problem.slug;
  if (problem.status >= 500 && problem.slug !== planned)
    response.err = problem.cause instanceof Error ? problem.cause : problem;
}

/**
 * Writes audit events into the log, each a line with `event`. They are written whatever `LOG_LEVEL`
 * leaves out, except for `silent`.
 */
export function auditLog(log: Logger): Audit {
  const lines = log.level === "silent" ? log : log.child({}, { level: "info" });
  return (event, client, { userId, sessionId, keyId, reason, limit }) => {
    const req = client && { id: client.requestId, address: client.address };
    lines.info({ event, userId, sessionId, keyId, reason, limit, req }, "audit");
  };
}

/** What is known of a request beside itself, for its line in the log and for its trace. */
export type Locals = { operation?: Operation; problem?: string; traceId?: string };

const describeRequest = (request: IncomingMessage & { id?: unknown; ip?: string }) => ({
  id: request.id,
  method: request.method,
  address: addressOf(request),
});

/** Not pino's own serializer: it would write whatever a driver hangs on its errors, such as the values of a row. */
function describeError(error: Error & { code?: unknown }): Record<string, unknown> {
  return {
    type: error.name,
    message: error.message,
    code: error.code,
    stack: error.stack,
    ...(error.cause instanceof Error && { cause: describeError(error.cause) }),
  };
}
