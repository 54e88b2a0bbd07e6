/**
 * The log: JSON lines with the id that the client gets in `X-Request-Id`. Headers, query, body and path values of a request are
 * never logged, because any of them may contain a secret.
 */
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import type { Request, Response } from "express";
import { type Logger, pino, symbols } from "pino";
import { type Audit, onlyLogged, recordable } from "../audit/audit.ts";
import type { ProblemSlug } from "../problems/catalogue.ts";
import type { Problem } from "../problems/problems.ts";
import { currentRequest, type RequestContext, requestContext, servedMs } from "../requestContext.ts";
import { describeError } from "./describeError.ts";
import { closeLostTerminalsAtExit, createLogDestination, openNonBlocking } from "./logDestination.ts";

const auditMessage = "audit";
const auditEnd = `"msg":"${auditMessage}"}\n`;
const routineEvent = new RegExp(`"event":"(?:${[...onlyLogged].join("|")})"`);
/** Whether a line is written at once: `latchkey restore` needs it, and the process may be killed next. */
export const isUrgent = (line: string): boolean => line.endsWith(auditEnd) && !routineEvent.test(line);

/** A planned shutdown is not logged as an error. */
const planned: ProblemSlug = "shutting-down";

export type Log = {
  log: Logger;
  /** Writes text for people to the same output. */
  print(text: string): void;
  /** The number of lines since startup that could not be written. */
  dropped(): number;
};

/**
 * Opens the log: JSON lines, or readable text on a terminal. Lines that cannot be written are dropped and counted. Once writing
 * works again, a line reports their number, at every `LOG_LEVEL` except `silent`.
 * @param fd standard output or, for the audit events of a command, standard error, which is always JSON
 */
export async function createLog(level: string, fd: 1 | 2): Promise<Log> {
  const format = fd === 1 && isatty(fd) ? await prettyFormat() : undefined;
  closeLostTerminalsAtExit();
  const destination = createLogDestination(openNonBlocking(fd), (dropped) => {
    notices.warn({ dropped }, "log lines were dropped: they could not be written");
  });
  const stream = {
    write: (line: string) => destination.write(format ? format(line) : line, { isUrgent: isUrgent(line) }),
  };
  const log = pino({ level, serializers: { err: (error: unknown) => describeError(error) } }, stream);
  const notices = level === "silent" ? log : log.child({}, { level: "warn" });
  return { log, print: destination.write, dropped: destination.dropped };
}

async function prettyFormat(): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty");
  return prettyFactory({ singleLine: true, ignore: "pid,hostname" });
}

/** Writes to standard error why the program ends. Does not throw or wait for a reader. */
export function printFatal(message: string): void {
  try {
    writeSync(openNonBlocking(2), `${message}\n`);
  } catch {
    // The exit status remains.
  }
}

/** @returns a function that logs a request when its response was sent or its connection was closed */
export function requestLog(log: Logger): (context: RequestContext, request: Request, response: Response) => void {
  const writeLine = requestLineWriter(log);
  return (context, request, response) => {
    const { method } = request; // dispatch turns a HEAD into a GET
    response.on("close", () => {
      const { id, address, operation, problem, cause, traceId } = context;
      const line = {
        req: { id, method, address },
        operation: operation?.id,
        problem,
        trace_id: traceId,
        // Without a response there is no status, although Node has a default.
        res: { status: response.headersSent ? response.statusCode : undefined },
        responseTime: Math.round(servedMs(context)),
      };
      const end = !response.writableFinished ? "aborted" : cause ? "errored" : "completed";
      // Independent of the log's serializers.
      if (cause) log.error({ ...line, err: describeError(cause) }, `request ${end}`);
      else writeLine(line, `request ${end}`);
    });
  };
}

type RequestLine = {
  req: { id: string; method: string; address: string | undefined };
  operation: string | undefined;
  problem: string | undefined;
  trace_id: string | undefined;
  res: { status: number | undefined };
  responseTime: number;
};

/**
 * Writes the line that `log.info` would write, in a fifth of its time, which would be a twentieth of that of a token check. No
 * value needs to be escaped: the parser knows all methods, addresses are IP addresses, and the other strings are from here.
 */
function requestLineWriter(log: Logger): (line: RequestLine, message: string) => void {
  const stream: { write(line: string): void } = Reflect.get(log, symbols.streamSym);
  const bindings = Object.entries(log.bindings()).map(([name, value]) => `,"${name}":${JSON.stringify(value)}`);
  const fixed = bindings.join("");
  const member = (name: string, value: string | undefined) => (value === undefined ? "" : `,"${name}":"${value}"`);
  return ({ req, operation, problem, trace_id, res, responseTime }, message) => {
    if (!log.isLevelEnabled("info")) return;
    stream.write(
      `{"level":30,"time":${Date.now()}${fixed},"req":{"id":"${req.id}","method":"${req.method}"${member("address", req.address)}}` +
        `${member("operation", operation)}${member("problem", problem)}${member("trace_id", trace_id)}` +
        `,"res":{${res.status === undefined ? "" : `"status":${res.status}`}},"responseTime":${responseTime},"msg":"${message}"}\n`,
    );
  };
}

/** Adds the problem, and the cause of an internal error, to the log line of the request. */
export function reportProblem(problem: Problem): void {
  const context = requestContext();
  context.problem = problem.slug;
  if (problem.status >= 500 && problem.slug !== planned)
    context.cause = problem.cause instanceof Error ? problem.cause : problem;
}

/** Writes audit events to the log, one line with `event` each, at every `LOG_LEVEL` except `silent`. */
export function auditLog(log: Logger): Audit {
  const lines = log.level === "silent" ? log : log.child({}, { level: "info" });
  return (event, details) => {
    const request = currentRequest();
    const req = request && { id: request.id, address: request.address };
    lines.info({ event, ...recordable(details), req }, auditMessage);
  };
}
