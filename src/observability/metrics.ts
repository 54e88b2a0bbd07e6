/** Metrics for Prometheus. test/promises/metrics.test.ts compares the dashboard and the alerts with these names. */
import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type AuditDetails, type AuditEvent, auditEvents } from "../audit/audit.ts";
import type { ConnectionLimit } from "../http/connectionLimits.ts";
import { requestContext, servedMs } from "../requestContext.ts";
import { type MetricsServer, serveMetrics } from "./metricsServer.ts";

/** Values that are read at each scrape. */
export type Gauges = {
  /** Operations that declare an internal error. */
  operations: string[];
  connections(): number;
  hashing(): { running: number; waiting: number };
  database(): { used: number; free: number; waiting: number };
  revocations(): { stalenessSeconds: number; size: number; followers: number };
  signingAlgorithm(): string | undefined;
  auditEventsDropped(): number;
};

export type Metrics = ReturnType<typeof createMetrics>;

/** The metrics of one process, as a worker sends them to its primary. */
export type MetricsSnapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** @param worker the number of this worker, a label of all its metrics; `undefined` for a single process */
export function createMetrics(version: string, droppedLogLines: () => number, worker?: number) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  if (worker === undefined) registerWorkers(registry, () => 1);
  else registry.setDefaultLabels({ worker });

  new Gauge({
    name: "latchkey_info",
    help: "Always 1. The label is the version.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
  const requests = new Counter({
    name: "latchkey_http_requests_total",
    help: "Requests, by operation, status and problem (empty if there was none).",
    labelNames: ["operation", "status", "problem"],
    registers,
  });
  const durations = new Histogram({
    name: "latchkey_http_request_duration_seconds",
    help: "Time from the end of a request's headers to the end of its response, in seconds, without that for which a long poll was held.",
    labelNames: ["operation"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3],
    registers,
  });
  const hashingWait = new Histogram({
    name: "latchkey_hashing_wait_seconds",
    help: "Time for which a password waited to be hashed, in seconds.",
    buckets: [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.7, 1],
    registers,
  });
  const throttled = new Counter({
    name: "latchkey_throttled_total",
    help: "Sign-in attempts and registrations that were rejected, by the limit that was reached.",
    labelNames: ["limit"],
    registers,
  });
  const audited = new Counter({
    name: "latchkey_audit_events_total",
    help: "Audit events, as in the log.",
    labelNames: ["event"],
    registers,
  });

  const contractFaults = new Counter({
    name: "latchkey_contract_faults_total",
    help: "Responses that violated the contract, of those that CONTRACT_CHECK validated.",
    registers,
  });

  const connectionsRefused = new Counter({
    name: "latchkey_connections_refused_total",
    help: "New connections that were closed, by the limit that was reached: MAX_CONNECTIONS (total) or MAX_CONNECTIONS_PER_NETWORK (network).",
    labelNames: ["limit"],
    registers,
  });
  registerDroppedLogLines(registry, droppedLogLines);

  for (const event of Object.keys(auditEvents)) audited.inc({ event }, 0);
  for (const limit of ["total", "network"]) connectionsRefused.inc({ limit }, 0);

  return {
    /** @throws the system's error, such as EADDRINUSE */
    serve: (host: string, port: number, log: Logger) =>
      serveMetrics({ host, port, log, read: () => registry.metrics() }),

    snapshot: () => registry.getMetricsAsJSON(),

    /** Counts a request when its response has ended. */
    countRequests: ((_request, response, next) => {
      const context = requestContext();
      response.on("close", () => {
        const { operation, problem = "" } = context;
        const id = operation?.id ?? "none";
        // Without a response there is no status, although Node has a default.
        requests.inc({ operation: id, status: response.headersSent ? response.statusCode : "none", problem });
        durations.observe({ operation: id }, servedMs(context) / 1000);
      });
      next();
    }) satisfies RequestHandler,

    waited: (seconds: number) => hashingWait.observe(seconds),

    audited(event: AuditEvent, { limit = "none" }: AuditDetails): void {
      audited.inc({ event });
      if (event === "throttled") throttled.inc({ limit });
    },

    contractBroken: () => contractFaults.inc(),

    connectionRefused: (limit: ConnectionLimit) => connectionsRefused.inc({ limit }),

    /** Registers the gauges. */
    registerGauges(gauges: Gauges): void {
      const { operations, connections, hashing, database, revocations, signingAlgorithm } = gauges;
      // Otherwise a counter would start at 1, and an alert on its increase would miss the first error.
      for (const operation of operations) requests.inc({ operation, status: 500, problem: "internal-error" }, 0);
      const gauge = (name: string, help: string, read: () => number) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(read());
          },
        });
      gauge("latchkey_http_connections", "Open client connections.", connections);
      gauge("latchkey_hashing_running", "Passwords being hashed.", () => hashing().running);
      gauge("latchkey_hashing_waiting", "Passwords waiting to be hashed.", () => hashing().waiting);
      gauge("latchkey_database_connections_used", "Connections of the pool in use.", () => database().used);
      gauge("latchkey_database_connections_free", "Free connections of the pool.", () => database().free);
      gauge(
        "latchkey_database_requests_waiting",
        "Requests that wait for a connection of the pool.",
        () => database().waiting,
      );
      gauge(
        "latchkey_revocations_staleness_seconds",
        "Seconds since the revocation list was last known to be complete.",
        () => revocations().stalenessSeconds,
      );
      gauge("latchkey_revocations", "Revocations in memory.", () => revocations().size);
      gauge(
        "latchkey_revocation_followers",
        "Requests of followers of the revocation list that wait for new entries.",
        () => revocations().followers,
      );
      registerCount(
        registry,
        "latchkey_audit_events_dropped_total",
        "Audit events that are in the log and were not stored: too many refusals, or no database for too long.",
        gauges.auditEventsDropped,
      );
      new Gauge({
        name: "latchkey_signing_key_info",
        help: "Always 1. The label is the algorithm of new tokens.",
        labelNames: ["algorithm"],
        registers,
        collect() {
          this.reset();
          this.set({ algorithm: signingAlgorithm() ?? "none" }, 1);
        },
      });
    },
  };
}

/** Metrics about the workers. Without `WORKERS`, the service itself is the only one. */
function registerWorkers(registry: Registry, serving: () => number): { ended: Counter; hung: Counter } {
  const registers = [registry];
  new Gauge({
    name: "latchkey_workers_serving",
    help: "Processes that serve: WORKERS, minus those that have exited, are starting or do not respond.",
    registers,
    collect() {
      this.set(serving());
    },
  });
  const help = "Workers that exited unexpectedly and were replaced.";
  return {
    ended: new Counter({ name: "latchkey_workers_ended_total", help, registers }),
    hung: new Counter({
      name: "latchkey_workers_unresponsive_total",
      help: "Workers that did not respond for five seconds, and were killed and replaced.",
      registers,
    }),
  };
}

const registerDroppedLogLines = (registry: Registry, dropped: () => number): void =>
  registerCount(
    registry,
    "latchkey_log_lines_dropped_total",
    "Log lines, including audit events, that were dropped because they could not be written.",
    dropped,
  );

/** Registers a counter whose value is kept elsewhere. */
function registerCount(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/**
 * Serves the metrics of the workers and the primary.
 * @throws the system's error, such as EADDRINUSE
 */
export async function serveMetricsOfWorkers({
  read,
  serving,
  droppedLogLines,
  ...options
}: {
  host: string;
  port: number;
  log: Logger;
  /** Requests the metrics of all responsive workers. */
  read: () => Promise<MetricsSnapshot[]>;
  serving: () => number;
  /** The number of lines that the primary itself dropped. */
  droppedLogLines: () => number;
}): Promise<MetricsServer & { workerEnded(): void; workerHung(): void }> {
  const own = new Registry();
  const { ended, hung } = registerWorkers(own, serving);
  const primary = new Registry();
  primary.setDefaultLabels({ worker: "primary" });
  registerDroppedLogLines(primary, droppedLogLines);
  const readAll = async () => {
    const combined = AggregatorRegistry.aggregate([...(await read()), await primary.getMetricsAsJSON()]);
    return (await own.metrics()) + (await combined.metrics());
  };
  return {
    ...(await serveMetrics({ ...options, read: readAll })),
    workerEnded: () => ended.inc(),
    workerHung: () => hung.inc(),
  };
}
