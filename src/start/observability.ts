/** Metrics, traces and the audit log. */
import type { Audit } from "../audit/audit.ts";
import type { AuditWriter } from "../audit/writer.ts";
import { version } from "../lib/package.ts";
import { loadTracing } from "../observability/loadTracing.ts";
import { auditLog } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { StartContext } from "./context.ts";

export type Observability = {
  audit: Audit;
  /** Where events are stored, besides the log. Set once there is a database. */
  auditWriter: { current: AuditWriter | undefined };
  /** Absent without `METRICS_PORT`. */
  metrics: Metrics | undefined;
  /** Absent without `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  tracing: Tracing | undefined;
};

/** @throws {StartError} if traces are configured and OpenTelemetry is not installed */
export async function openObservability(context: StartContext): Promise<Observability> {
  const { log, lifecycle } = context;
  const metrics = await createMetrics(context);
  const tracing = await startTracing(context);
  if (tracing) lifecycle.add("background", "traces", tracing.close);
  const writeAudit = auditLog(log);
  const auditWriter: Observability["auditWriter"] = { current: undefined };
  return {
    metrics,
    tracing,
    auditWriter,
    audit(event, details) {
      writeAudit(event, details);
      auditWriter.current?.store(event, details);
      metrics?.audited(event, details);
    },
  };
}

// Loading these modules takes time and memory, so each is loaded only if it is configured.

async function createMetrics({ config, worker, droppedLogLines }: StartContext): Promise<Metrics | undefined> {
  if (config.metricsPort === undefined) return undefined;
  const { createMetrics } = await import("../observability/metrics.ts");
  return createMetrics(version(), droppedLogLines, worker?.number);
}

async function startTracing({ config, log }: StartContext): Promise<Tracing | undefined> {
  if (!config.otelExporterOtlpEndpoint) return undefined;
  const { startTracing } = await loadTracing();
  return startTracing((code) => log.warn({ code }, "could not deliver traces"));
}
