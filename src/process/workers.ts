/**
 * `WORKERS` processes that serve one port. The primary opens Postgres, applies migrations, starts the workers, distributes
 * connections among them (node:cluster), and replaces a worker that ends. The workers share nothing but Postgres.
 */
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { openMigratedPostgres } from "../database/openPostgres.ts";
import { cannotListen, checkAddresses } from "../http/addresses.ts";
import { readCertificate } from "../http/tls.ts";
import type { Lifecycle } from "../lib/lifecycle.ts";
import type { MetricsServer } from "../observability/metricsServer.ts";
import type { Service } from "./shutdown.ts";
import { createWorkerPool, type WorkerPool } from "./workerPool.ts";

type Options = {
  config: Config;
  log: Logger;
  /** Of this process, for the metrics. */
  droppedLogLines: () => number;
  /** Closes what is opened here, and cancels the start. */
  lifecycle: Lifecycle;
};

/**
 * Starts the workers, and replaces those that end until `drain` is called.
 * @throws {StartError | WorkerError}
 */
export async function startWorkers(options: Options): Promise<Service> {
  const { config, log, lifecycle } = options;
  await readCertificate(config); // errors in it are found before a database is created
  await checkAddresses(config);
  const postgres = await openMigratedPostgres(config, log, lifecycle);
  let metrics: WorkerMetrics | undefined;
  const workers = createWorkerPool(log, {
    workerEnded: () => metrics?.workerEnded(),
    workerHung: () => metrics?.workerHung(),
  });
  lifecycle.add("servers", "workers", workers.kill);
  try {
    lifecycle.closing.throwIfAborted();
    // The first one alone, so that an error in the settings is reported once.
    const url = await workers.startFirst();
    for (let number = 2; number <= config.workers; number += 1) workers.start(number);
    metrics = await serveMetrics(workers, options);
    return {
      url,
      drain: (skipGrace) => workers.drain(config.shutdownGraceSeconds, skipGrace),
      reload: () => workers.broadcast("SIGHUP"),
      failed: postgres.failed,
    };
  } catch (error) {
    await lifecycle.close().catch(() => {}); // the error of the start is more important
    throw error;
  }
}

type WorkerMetrics = MetricsServer & { workerEnded(): void; workerHung(): void };

/** @returns `undefined` without `METRICS_PORT` */
async function serveMetrics(
  { readMetrics, responsive }: WorkerPool,
  { config: { metricsHost: host, metricsPort: port }, log, droppedLogLines, lifecycle }: Options,
): Promise<WorkerMetrics | undefined> {
  if (port === undefined) return undefined;
  const { serveMetricsOfWorkers } = await import("../observability/metrics.ts");
  const serving = () => responsive().length;
  const metrics = await serveMetricsOfWorkers({ host, port, log, read: readMetrics, serving, droppedLogLines }).catch(
    cannotListen("METRICS_", host, port),
  );
  lifecycle.add("servers", "metrics", metrics.close);
  log.info({ url: metrics.url }, "metrics");
  return metrics;
}
