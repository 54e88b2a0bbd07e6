/**
 * Traces: a span for each request, with a span for each statement and each password hash. The attributes are set here and not by
 * automatic instrumentation, which could copy a secret from a request or an error. OpenTelemetry is loaded only by this file,
 * which is imported only if tracing is enabled.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { context, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { core, NodeSDK, resources } from "@opentelemetry/sdk-node";
import type { RequestHandler } from "express";
import type { QueryObserver } from "../database/pool.ts";
import type { PasswordHasher } from "../passwords/hashing.ts";
import { requestContext } from "../requestContext.ts";

export type Tracing = {
  /** Starts the span of a request, within the trace of its `traceparent` header if there is one. */
  request: RequestHandler;
  /** Starts the span of a statement that serves a request. */
  query: QueryObserver;
  /** Wraps a hasher. The span of a call includes the wait for its turn. */
  hashing(hasher: PasswordHasher): PasswordHasher;
  /** Sends the remaining spans, within a bounded time. */
  close(): Promise<void>;
};

/** How long shutdown waits for the collector. */
const flushTimeoutMs = 2_000;
/** The interval between warnings about an unavailable collector. */
const warningIntervalMs = 60_000;
/** Paths that probes request every few seconds. */
const untraced = new Set(["/livez", "/readyz", "/metrics"]);

/**
 * Starts the SDK, which reads the `OTEL_` variables, keeps a bounded number of spans while the collector is unavailable, and
 * does not throw.
 * @param warn is called at intervals while spans cannot be delivered, with an error code if there is one
 */
export function startTracing(warn: (code: unknown) => void): Tracing {
  const sdk = new NodeSDK({
    // The `OTEL_` variables take precedence.
    resource: resources.defaultResource().merge(resources.resourceFromAttributes({ "service.name": "latchkey" })),
    // Without the process detector, which adds the command line, the user and the folders.
    resourceDetectors: [resources.envDetector, resources.serviceInstanceIdDetector],
    // Traces only. By default the SDK would also send metrics and logs.
    metricReaders: [],
    logRecordProcessors: [],
  });
  let warnedAt = Number.NEGATIVE_INFINITY;
  // Without the message, which may contain a header for the collector.
  core.setGlobalErrorHandler((error) => {
    if (performance.now() - warnedAt < warningIntervalMs) return;
    warnedAt = performance.now();
    const { code, name } = error as { code?: unknown; name?: string };
    warn(code ?? name);
  });
  sdk.start();
  const tracer = trace.getTracer("latchkey");

  return {
    request(request, response, next) {
      if (untraced.has(request.path)) return next();
      const { method } = request; // dispatch turns a HEAD into a GET
      // Without `tracestate` and `baggage`, in which a client could pass anything on.
      const { traceparent } = request.headers;
      const parent = propagation.extract(ROOT_CONTEXT, { traceparent });
      const served = requestContext();
      const attributes = { "http.request.method": method, "latchkey.request_id": served.id };
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent);
      if (span.isRecording()) served.traceId = span.spanContext().traceId;
      response.once("close", () => {
        const { operation, problem } = served;
        // The path of the contract, not of the request.
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
      // Background work, such as the cleanup, is not traced.
      if (!trace.getActiveSpan()) return () => {};
      const [, operation = "query"] = /^\W*(\w+)/.exec(statement) ?? [];
      const attributes = { "db.system.name": "postgresql", "db.query.text": statement };
      const span = tracer.startSpan(operation.toUpperCase(), { kind: SpanKind.CLIENT, attributes });
      return (error) => {
        // The SQLSTATE. The message may contain values of a row.
        if (error) fail(span, (error as { code?: string }).code ?? error.name);
        span.end();
      };
    },

    hashing: (hasher) => ({
      ...hasher,
      hash: (password, deadline) => inSpan("hash password", () => hasher.hash(password, deadline)),
      verify: (stored, typed, deadline) => inSpan("verify password", () => hasher.verify(stored, typed, deadline)),
    }),

    async close() {
      const delivered = sdk.shutdown().catch(() => {}); // failures were reported to `warn`
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
