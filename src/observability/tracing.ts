/**
 * Traces: a span for each request, and within it one for each statement and each password hash. The
 * spans are made here, attribute by attribute, and not by instrumentation that takes along what it
 * finds in a request or in an error: there may be a secret anywhere. Nothing of OpenTelemetry is
 * loaded but through this file, and it is imported only where traces are wanted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { context, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { core, NodeSDK, resources } from "@opentelemetry/sdk-node";
import type { RequestHandler } from "express";
import type { QueryObserver } from "../database/pool.ts";
import type { PasswordHasher } from "../passwords/hashing.ts";
import { requestContext } from "../requestContext.ts";

export type Tracing = {
  /** The span of a request. A `traceparent` header makes it part of the client's trace. */
  request: RequestHandler;
  /** The span of a statement, where a request asks for it. */
  query: QueryObserver;
  /** The same hasher, with a span for each call: waiting for its turn included. */
  hashing(hasher: PasswordHasher): PasswordHasher;
  /** Delivers what it has, within a bounded time. */
  close(): Promise<void>;
};

/** How long a stop waits for the collector. */
const flushTimeoutMs = 2_000;
/** A collector that is away is worth a line a minute, not one every few seconds. */
const complaintIntervalMs = 60_000;
/** What is asked every few seconds, by machines. */
const untraced = new Set(["/livez", "/readyz", "/metrics"]);

/**
 * Starts the SDK. It reads the `OTEL_` variables, keeps a bounded number of spans while the
 * collector is away, and throws nothing at those who make them.
 * @param complain is told, now and then, that spans were not delivered, with a code where there is one
 */
export function startTracing(complain: (code: unknown) => void): Tracing {
  const sdk = new NodeSDK({
    // The variables, which are read after it, may name another.
    resource: resources.defaultResource().merge(resources.resourceFromAttributes({ "service.name": "latchkey" })),
    // Not the one that tells the command line, the user and the folders of the process.
    resourceDetectors: [resources.envDetector, resources.serviceInstanceIdDetector],
    // Traces only: without these it would be ready to send metrics and logs as well.
    metricReaders: [],
    logRecordProcessors: [],
  });
  let complained = Number.NEGATIVE_INFINITY;
  // Without its message, which may have a header in it that was set for the collector.
  core.setGlobalErrorHandler((error) => {
    if (performance.now() - complained < complaintIntervalMs) return;
    complained = performance.now();
    const { code, name } = error as { code?: unknown; name?: string };
    complain(code ?? name);
  });
  sdk.start();
  const tracer = trace.getTracer("latchkey");

  return {
    request(request, response, next) {
      if (untraced.has(request.path)) return next();
      const { method } = request; // dispatch makes a GET of a HEAD
      // Without `tracestate` and `baggage`, in which a client could hand anything on.
      const { traceparent } = request.headers;
      const parent = propagation.extract(ROOT_CONTEXT, { traceparent });
      const served = requestContext();
      const attributes = { "http.request.method": method, "latchkey.request_id": served.id };
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
      if (span.isRecording()) served.traceId = span.spanContext().traceId;
      response.once("close", () => {
        const { operation, problem } = served;
        // The path as the contract has it, never as it was sent.
        if (operation) {
          span.updateName(`${method} ${operation.path}`);
          span.setAttributes({ "http.route": operation.path, "latchkey.operation": operation.id });
        }
        if (problem) span.setAttribute("latchkey.problem", problem);
        if (response.headersSent) span.setAttribute("http.response.status_code", response.statusCode);
        if (response.statusCode >= 500) fail(span, problem);
        span.end();
      });
      context.with(trace.setSpan(parent, span), next);
    },

    query(statement) {
      // What the service does by itself, such as sweeping, is no part of a request.
      if (!trace.getActiveSpan()) return () => {};
      const [, operation = "query"] = /^(?:\/\*.*?\*\/)?\W*(\w+)/.exec(statement) ?? []; // after the name of the statement
      const attributes = { "db.system.name": "postgresql", "db.query.text": statement };
      const span = tracer.startSpan(operation.toUpperCase(), { kind: SpanKind.CLIENT, attributes });
      return (error) => {
        // Postgres' own code. Its message may have the values of a row in it.
        if (error) fail(span, (error as { code?: string }).code ?? error.name);
        span.end();
      };
    },

    hashing: (hasher) => ({
      ...hasher,
      hash: (password, deadline) => inSpan("hash password", () => hasher.hash(password, deadline)),
      verify: (stored, password, deadline) =>
        inSpan("verify password", () => hasher.verify(stored, password, deadline)),
    }),

    async close() {
      const delivered = sdk.shutdown().catch(() => {}); // its failures have been complained of
      await Promise.race([delivered, sleep(flushTimeoutMs, undefined, { ref: false })]);
    },
  };

  async function inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
    const span = tracer.startSpan(name);
    try {
      return await work();
    } catch (error) {
      fail(span, (error as { slug?: string }).slug);
      throw error;
    } finally {
      span.end();
    }
  }
}

function fail(span: Span, type = "unknown"): void {
  span.setAttribute("error.type", type).setStatus({ code: SpanStatusCode.ERROR });
}
