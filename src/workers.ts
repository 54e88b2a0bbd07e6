/**
 * `WORKERS` processes that serve one port. The primary opens Postgres, applies migrations, starts the workers, hands them
 * connections in turn (node:cluster), and puts another in the place of one that ends. They share nothing but Postgres.
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Config, cannotListen, StartError } from "./config.ts";
import { findPostgres, openMigratedPostgres } from "./postgres.ts";
import type { Membership, Service } from "./service.ts";

/** How long a place is empty after a worker has ended: twice as long each time that it ends again. */
const firstPauseMs = 250;
const longestPauseMs = 30_000;
/** Who has served for so long has recovered. */
const steadyMs = 60_000;
/** Beyond the time of grace, how long workers may take to stop. When all goes well they need less, and badly, too. */
const stopTimeoutMs = 15_000;

/** The first worker has ended before it served, and has said why. */
export class WorkerError extends Error {
  /** Its exit status; `null` where a signal ended it. */
  readonly status: number | null;

  constructor(status: number | null) {
    super("the first worker ended before it served");
    this.status = status;
  }
}

/**
 * Starts the workers, and keeps as many running until `drain`.
 * @throws {StartError | EmbeddedPostgresError | WorkerError}
 */
export async function startWorkers(config: Config, log: Logger): Promise<Service> {
  const { host, metricsPort, workers: count } = config;
  const postgres = await openMigratedPostgres(config, log);
  const workers = new Set<Worker>();
  let metrics: { url: string; close(): Promise<void> } | undefined;
  const pauses = new AbortController();
  let isServing = false;
  let hasFailed = false;

  /** @param endings how often it has ended of late */
  const start = (number: number, starts = 1, endings = 0): Worker => {
    cluster.setupPrimary({ args: ["worker", String(number), String(starts)] }); // seen in `ps`
    const worker = cluster.fork();
    const began = performance.now();
    workers.add(worker);
    worker.once("message", () => log.info({ worker: number, workerPid: worker.process.pid }, "a worker serves"));
    worker.once("exit", (status: number | null, signal: string | null) => {
      workers.delete(worker);
      if (!isServing) {
        hasFailed ||= status !== 0;
        return;
      }
      const again = performance.now() - began < steadyMs ? endings + 1 : 1;
      const pauseMs = Math.min(firstPauseMs * 2 ** (again - 1), longestPauseMs);
      log.error({ worker: number, status, signal, pauseMs }, "a worker ended");
      sleep(pauseMs, undefined, pauses).then(
        () => start(number, starts + 1, again),
        () => {},
      );
    });
    return worker;
  };
  const allEnded = () => Promise.all([...workers].map((worker) => once(worker, "exit")));

  const drain = async (hurry: AbortSignal): Promise<void> => {
    isServing = false;
    pauses.abort();
    const tell = (signal: NodeJS.Signals) => {
      for (const worker of workers) if (worker.isConnected()) worker.send(signal);
    };
    tell("SIGTERM");
    if (hurry.aborted) tell("SIGINT");
    else hurry.addEventListener("abort", () => tell("SIGINT"));
    const timeout = sleep(config.shutdownGraceSeconds * 1000 + stopTimeoutMs, undefined, { ref: false });
    await Promise.race([allEnded(), timeout]);
  };
  const close = async (): Promise<void> => {
    isServing = false;
    pauses.abort();
    const ended = allEnded();
    for (const worker of workers) worker.process.kill("SIGKILL");
    await ended;
    await metrics?.close();
    await postgres.close();
    if (hasFailed) throw new Error("not every worker stopped cleanly");
  };

  try {
    // One alone at first, so that what is wrong with the settings is said once.
    const url = await serving(start(1));
    isServing = true;
    for (let number = 2; number <= count; number += 1) start(number);
    if (metricsPort !== undefined) {
      const { serveMetricsOfWorkers } = await import("./operations/metrics.ts");
      metrics = await serveMetricsOfWorkers(host, metricsPort).catch(cannotListen("METRICS_PORT", host, metricsPort));
      log.info({ url: metrics.url }, "metrics");
    }
    return { url, drain, close, failed: postgres.failed };
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
}

/** @returns where a worker serves, once it does */
async function serving(worker: Worker): Promise<string> {
  const [first] = await Promise.race([once(worker, "message"), once(worker, "exit")]);
  if (typeof first === "object" && first !== null && "url" in first) return String(first.url);
  throw new WorkerError(first);
}

/**
 * Tells the primary that this worker serves.
 * @param stop is called with the name of a signal when the primary says so. Signals themselves are for the primary alone:
 * what is sent to a whole group would be heard twice, which means hurry.
 */
export function reportToPrimary(url: string, stop: (reason: string) => void): void {
  process.on("message", (order) => {
    if (typeof order === "string") stop(order);
  });
  process.send?.({ url });
}

/**
 * What a worker is told by its command line, and the Postgres that its primary has opened.
 * @throws {StartError} where that is not there any more
 */
export async function membership(config: Config, [number, starts]: string[]): Promise<Membership> {
  const postgres = await findPostgres(config);
  if (!postgres) throw new StartError("The embedded Postgres of the primary is not there.");
  return { number: Number(number), starts: Number(starts), postgres };
}
