/**
 * The log: JSON lines with the id that the client got in `X-Request-Id`. What a request carries
 * (headers, query, body, the values in its path) is never in it: there may be a secret anywhere.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import type { Request, Response } from "express";
import { type Logger, pino } from "pino";
import type { Audit } from "../audit/audit.ts";
import type { Problem, ProblemSlug } from "../problems/problems.ts";
import { currentRequest, type RequestContext, requestContext } from "../requestContext.ts";
import { describeError } from "./describeError.ts";
import { closeLostTerminalsAtExit, createLogDestination, openNonBlocking } from "./logDestination.ts";

/** What readiness says of a stop that somebody asked for: no error. */
const planned: ProblemSlug = "shutting-down";

export type Log = {
  log: Logger;
  /** Writes a text for people beside the log. */
  print(text: string): void;
  /** How many lines were dropped since the start, because they could not be written. */
  dropped(): number;
};

/**
 * Opens the log: JSON lines, or text for people on a terminal. What cannot be written is dropped and counted; a line says how
 * many once writing works again, whatever `LOG_LEVEL` leaves out, except for `silent`.
 * @param fd standard output or, for the audit events of a command, standard error: those are always JSON, to be kept
 */
export async function createLog(level: string, fd: 1 | 2): Promise<Log> {
  const format = fd === 1 && isatty(fd) ? await prettyFormat() : undefined;
  closeLostTerminalsAtExit();
  const destination = createLogDestination(openNonBlocking(fd), (dropped) => {
    notices.warn({ dropped }, "log lines were dropped: they could not be written");
  });
  const write = format ? (line: string) => destination.write(format(line)) : destination.write;
  const log = pino({ level, serializers: { err: (error: unknown) => describeError(error) } }, { write });
  const notices = level === "silent" ? log : log.child({}, { level: "warn" });
  return { log, print: destination.write, dropped: destination.dropped };
}

async function prettyFormat(): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty");
  return prettyFactory({ singleLine: true, ignore: "pid,hostname" });
}

/** Says on standard error why the program ends. Never throws, and waits for no reader. */
export function printFatal(message: string): void {
  try {
    writeSync(openNonBlocking(2), `${message}\n`);
  } catch {
    // There is nobody to tell; the exit status says it.
  }
}

/** @returns what logs a request when its response has been sent, or its client has gone */
export function requestLog(log: Logger): (context: RequestContext, request: Request, response: Response) => void {
  return (context, request, response) => {
    const { method } = request; // dispatch turns a HEAD into a GET
    response.on("close", () => {
      const { id, address, operation, problem, cause, traceId, startedAt } = context;
      const line = {
        req: { id, method, address },
        operation: operation?.id,
        problem,
        trace_id: traceId,
        // Without a response there is no status, although Node has a default.
        res: { status: response.headersSent ? response.statusCode : undefined },
        err: cause && describeError(cause), // independent of the log's serializers
        responseTime: Math.round(performance.now() - startedAt),
      };
      const end = !response.writableFinished ? "aborted" : cause ? "errored" : "completed";
      log[cause ? "error" : "info"](line, `request ${end}`);
    });
  };
}

/** Tells the line of a request which problem it got, and the cause that the client is not told. */
export function reportProblem(problem: Problem): void {
  const context = requestContext();
  context.problem = problem.slug;
  if (problem.status >= 500 && problem.slug !== planned)
    context.cause = problem.cause instanceof Error ? problem.cause : problem;
}

/**
 * Writes audit events into the log, each a line with `event`. They are written whatever `LOG_LEVEL`
 * leaves out, except for `silent`.
 */
export function auditLog(log: Logger): Audit {
  const lines = log.level === "silent" ? log : log.child({}, { level: "info" });
  return (event, { userId, sessionId, keyId, passwordEpoch, reason, limit }) => {
    const request = currentRequest();
    const req = request && { id: request.id, address: request.address };
    lines.info({ event, userId, sessionId, keyId, passwordEpoch, reason, limit, req }, "audit");
  };
}
