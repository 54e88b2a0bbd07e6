/**
 * The log: JSON lines with the id that the client got in `X-Request-Id`. What a request carries
 * (headers, query, body, the values in its path) is never in it: there may be a secret anywhere.
 */
import type { RequestHandler, Response } from "express";
import { type Logger, pino } from "pino";
import type { Audit } from "../audit/audit.ts";
import { exchangeOf } from "../contract/exchange.ts";
import type { Problem, ProblemSlug } from "../contract/problems.ts";

/** What readiness says of a stop that somebody asked for: no error. */
const planned: ProblemSlug = "shutting-down";

/** Beyond it lines are dropped, rather than kept for a reader that has stopped. */
const mostUnwrittenBytes = 67_108_864;
/** Lines are written so many bytes at a time: what a pipe takes as a whole (PIPE_BUF), or those of two workers could mix. */
const pieceBytes = 4_096;

/** @param stream where it is written, for people if that is a terminal */
export async function createLog(level: string, stream: NodeJS.WriteStream & { fd: number }): Promise<Logger> {
  const options = { level, serializers: { err: describeError } };
  const destination = stream.fd;
  if (!stream.isTTY) {
    // Who reads the log slowly must not make everybody wait for a write; what is due at the end is still written.
    const bounds = { maxWrite: pieceBytes, maxLength: mostUnwrittenBytes };
    return pino(options, pino.destination({ fd: destination, sync: false, ...bounds }));
  }
  const { default: pretty } = await import("pino-pretty");
  return pino(options, pretty({ sync: true, singleLine: true, ignore: "pid,hostname", destination }));
}

/** Writes a line when a request has been answered, or has lost its client before. */
export function requestLog(log: Logger): RequestHandler {
  return (request, response, next) => {
    const began = performance.now();
    const { method } = request; // dispatch makes a GET of a HEAD
    response.on("close", () => {
      const { client, operation, problem, cause, traceId } = exchangeOf(response);
      const line = {
        req: { id: client.requestId, method, address: client.address },
        operation: operation?.id,
        problem,
        trace_id: traceId,
        // Without an answer there is no status, whatever it would have been.
        res: { status: response.headersSent ? response.statusCode : undefined },
        err: cause && describeError(cause), // whatever serializers the log has
        responseTime: Math.round(performance.now() - began),
      };
      const end = !response.writableFinished ? "aborted" : cause ? "errored" : "completed";
      log[cause ? "error" : "info"](line, `request ${end}`);
    });
    next();
  };
}

/** Tells the line of a request which problem it got, and the cause that the client is not told. */
export function reportProblem(response: Response, problem: Problem): void {
  const exchange = exchangeOf(response);
  exchange.problem = problem.slug;
  if (problem.status >= 500 && problem.slug !== planned)
    exchange.cause = problem.cause instanceof Error ? problem.cause : problem;
}

/**
 * Writes audit events into the log, each a line with `event`. They are written whatever `LOG_LEVEL`
 * leaves out, except for `silent`.
 */
export function auditLog(log: Logger): Audit {
  const lines = log.level === "silent" ? log : log.child({}, { level: "info" });
  return (event, client, { userId, sessionId, keyId, passwordEpoch, reason, limit }) => {
    const req = client && { id: client.requestId, address: client.address };
    lines.info({ event, userId, sessionId, keyId, passwordEpoch, reason, limit, req }, "audit");
  };
}

/** Not pino's own serializer: it would write whatever a driver hangs on its errors, such as the values of a row. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name: type, message, stack, cause, code } = error as Error & { code?: unknown };
  return { type, message, code, stack, ...(cause instanceof Error && { cause: describeError(cause) }) };
}
