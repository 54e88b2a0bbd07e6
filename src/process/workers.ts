/**
 * `WORKERS` processes that serve one port. The primary opens Postgres, applies migrations, starts the workers, hands them
 * connections in turn (node:cluster), and puts another in the place of one that ends. They share nothing but Postgres.
 */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { type Config, cannotListen, StartError } from "../config/config.ts";
import { findPostgres, openMigratedPostgres, type Postgres } from "../database/open.ts";
import { checkAddresses } from "../http/addresses.ts";
import { readCertificate } from "../http/tls.ts";
import type { Lifecycle } from "../lib/lifecycle.ts";
import type { MetricsServer, Reading } from "../observability/metrics.ts";
import { type Heartbeat, sendHeartbeats, silentBeatsAllowed, watchHeartbeat } from "./heartbeat.ts";
import type { Service } from "./shutdown.ts";

/** How long a place is empty after a worker has ended: twice as long each time that it ends again. Without jitter: all are here. */
const firstPauseMs = 250;
const longestPauseMs = 30_000;
/** A worker that has run for so long has recovered. */
const steadyMs = 60_000;
/** How long workers may take to stop beyond the grace period: more than all that they close is given (lib/lifecycle.ts). */
const stopTimeoutMs = 15_000;
/** How long they may take to end when they are killed. */
const killTimeoutMs = 2_000;
/** How long a reader of the metrics waits for one worker. */
const readingTimeoutMs = 1_000;

/** What the primary asks, or the name of a signal: those themselves are for the primary alone, or each would be heard twice. */
type Order = NodeJS.Signals | "metrics";
/** What a worker says: where it serves, once it does; its metrics; why it cannot serve; that it runs. */
type Report = { url: string } | { reading: Reading } | { refusal: string } | { beat: true };

/** The first worker has ended before it served. */
export class WorkerError extends Error {
  /** Its exit status; `null` after a signal, and where it could not be started. */
  readonly status: number | null;

  constructor({ status, reason = "The first worker was ended before it served." }: End) {
    super(reason);
    this.status = status;
  }
}

/** How a worker ended, and why, where it has said so. */
type End = { status: number | null; signal: string | null; reason?: string };

/**
 * Starts the workers, and keeps as many running until `drain`.
 * @param droppedLogLines of this process, for the metrics
 * @param lifecycle closes what is opened here, and cancels the start
 * @throws {StartError | EmbeddedPostgresError | WorkerError}
 */
export async function startWorkers(
  config: Config,
  log: Logger,
  droppedLogLines: () => number,
  lifecycle: Lifecycle,
): Promise<Service> {
  const { metricsHost, metricsPort, workers: count } = config;
  await readCertificate(config); // what is wrong is found before a database is made
  await checkAddresses(config);
  const postgres = await openMigratedPostgres(config, log, lifecycle);
  const ends = new Map<Worker, Promise<End>>();
  const serving = new Map<Worker, Heartbeat>();
  const responsive = () => [...serving].flatMap(([worker, heartbeat]) => (heartbeat.isSilent() ? [] : [worker]));
  let metrics: (MetricsServer & { workerEnded(): void; workerHung(): void }) | undefined;
  // However this process exits.
  process.once("exit", () => {
    for (const worker of ends.keys()) worker.process.kill("SIGKILL");
  });
  /** What was said to all, and is said to those who were still starting then. */
  const orders: Order[] = [];
  const pauses = new AbortController();
  let isToReplace = false;
  let hasFailed = false;

  /** @param endings how many times in a row it has ended */
  const start = (number: number, endings = 0): { url: Promise<string>; end: Promise<End> } => {
    cluster.setupPrimary({ args: ["worker", String(number)] }); // seen in `ps`
    const worker = cluster.fork();
    const began = performance.now();
    const heartbeat = watchHeartbeat(worker, () => {
      log.error(
        { worker: number, workerPid: worker.process.pid, seconds: silentBeatsAllowed },
        "a worker does not respond",
      );
      metrics?.workerHung();
      worker.process.kill("SIGKILL");
    });
    let reason: string | undefined;
    const url = new Promise<string>((resolve) => {
      worker.on("message", (report: Report) => {
        if ("refusal" in report) reason = report.refusal;
        if (!("url" in report)) return;
        log.info({ worker: number, workerPid: worker.process.pid }, "a worker serves");
        serving.set(worker, heartbeat);
        heartbeat.serves();
        for (const order of orders) tell(worker, order);
        resolve(report.url);
      });
    });
    const end = new Promise<End>((resolve) => {
      worker.once("exit", (status: number | null, signal: string | null) => {
        ends.delete(worker);
        const hasServed = serving.delete(worker);
        const end = { status, signal, ...(reason !== undefined && { reason }) };
        if (isToReplace) replace(number, endingsInARow(endings, performance.now() - began), end);
        // One that is still starting has nothing to finish.
        else hasFailed ||= hasServed && status !== 0;
        resolve(end);
      });
    });
    ends.set(worker, end);
    worker.on("error", (err: Error) => {
      log.warn({ worker: number, err }, "a worker cannot be reached");
      // It could not be told something, since it is ending; or it could not be started, and never ends.
      if (worker.process.pid === undefined) worker.emit("exit", null, null);
    });
    return { url, end };
  };
  const replace = (number: number, endings: number, end: object): void => {
    const pauseMs = Math.min(firstPauseMs * 2 ** endings, longestPauseMs);
    log.error({ worker: number, ...end, pauseMs }, "a worker ended");
    metrics?.workerEnded();
    sleep(pauseMs, undefined, pauses)
      .then(() => start(number, endings + 1))
      .catch((err: unknown) => {
        if (isToReplace) replace(number, endings + 1, { err }); // out of memory, or of processes
      });
  };

  const stopReplacing = (): void => {
    isToReplace = false;
    pauses.abort();
  };
  const tellAll = (order: Order): void => {
    if (order !== "SIGHUP") orders.push(order); // a worker that starts later reads the new certificate
    for (const worker of serving.keys()) tell(worker, order);
  };
  const drain = async (skipGrace: AbortSignal): Promise<void> => {
    stopReplacing();
    tellAll("SIGTERM");
    if (skipGrace.aborted) tellAll("SIGINT");
    else skipGrace.addEventListener("abort", () => tellAll("SIGINT"));
    const timeout = async () => {
      await sleep(config.shutdownGraceSeconds * 1000, undefined, { signal: skipGrace, ref: false }).catch(() => {});
      await sleep(stopTimeoutMs, undefined, { ref: false });
    };
    await Promise.race([Promise.all(ends.values()), timeout()]);
  };
  const kill = async (): Promise<void> => {
    stopReplacing();
    const ended = Promise.all(ends.values());
    for (const worker of ends.keys()) worker.process.kill("SIGKILL");
    const isOver = await Promise.race([ended, sleep(killTimeoutMs, undefined, { ref: false })]);
    if (!isOver) throw new Error("not every one ended");
    if (hasFailed) throw new Error("not every one stopped cleanly");
  };
  lifecycle.add("servers", "workers", kill);

  try {
    // One alone at first, so that what is wrong with the settings is said once.
    lifecycle.closing.throwIfAborted();
    const first = start(1);
    const url = await Promise.race([first.url, first.end]);
    if (typeof url !== "string") throw new WorkerError(url);
    isToReplace = true;
    for (let number = 2; number <= count; number += 1) start(number);
    if (metricsPort !== undefined) {
      const { serveMetricsOfWorkers } = await import("../observability/metrics.ts");
      const read = async () => (await Promise.all(responsive().map(readingOf))).filter((one) => one !== undefined);
      const readers = {
        ...{ host: metricsHost, port: metricsPort, log },
        ...{ read, serving: () => responsive().length, droppedLogLines },
      };
      metrics = await serveMetricsOfWorkers(readers).catch(cannotListen("METRICS_", metricsHost, metricsPort));
      lifecycle.add("servers", "metrics", metrics.close);
      log.info({ url: metrics.url }, "metrics");
    }
    const reload = () => tellAll("SIGHUP");
    return { url, drain, reload, failed: postgres.failed };
  } catch (error) {
    await lifecycle.close().catch(() => {}); // the error of the start is more important
    throw error;
  }
}

/**
 * Which endings of a worker count for the pause before it is replaced.
 * @param before how often it had ended in a row before it was started
 * @returns 0 for a worker that ran for a minute: it has recovered
 */
export const endingsInARow = (before: number, ranMs: number): number => (ranMs < steadyMs ? before : 0);

/** Whether it has heard is not known: one that is ending has not, and says so by its `error`. */
const tell = (worker: Worker, order: Order): void => {
  if (worker.isConnected()) worker.send(order);
};

/** @returns `undefined` where a worker does not answer: the others are read all the same */
async function readingOf(worker: Worker): Promise<Reading | undefined> {
  const ended = new AbortController();
  const answer = new Promise<Reading | undefined>((resolve) => {
    const listen = (report: Report) => {
      if ("reading" in report) resolve(report.reading);
    };
    const endWaiting = () => resolve(undefined);
    worker.on("message", listen).once("exit", endWaiting);
    ended.signal.addEventListener("abort", () => worker.off("message", listen).off("exit", endWaiting));
  });
  tell(worker, "metrics");
  const reading = await Promise.race([answer, sleep(readingTimeoutMs, undefined, { ref: false })]);
  ended.abort();
  return reading;
}

const report = (what: Report) => process.send?.(what, undefined, undefined, () => {}); // the primary may have exited

/** Tells the primary why this worker cannot serve. It says so where it logs: a worker's standard error is no log. */
export const reportRefusal = (refusal: string) => report({ refusal });

/**
 * Tells the primary that this worker serves, and does what it says.
 * @param act is called with the name of a signal
 * @param read is asked for the metrics
 */
export function reportToPrimary(
  url: string,
  act: (signal: NodeJS.Signals) => void,
  read: (() => Promise<Reading>) | undefined,
): void {
  process.on("message", (order: Order) => {
    if (order !== "metrics") act(order);
    else void read?.().then((reading) => report({ reading }));
  });
  report({ url });
}

/** Which of the workers a process is, and the Postgres that its primary has opened. */
export type WorkerRole = { number: number; postgres: Postgres };

/**
 * Which worker this is, by its command line, and the Postgres that its primary has opened. From now on the primary knows that
 * it runs.
 * @throws {StartError} where that is not there any more
 */
export async function joinPrimary(config: Config, [number]: string[]): Promise<WorkerRole> {
  sendHeartbeats();
  const postgres = await findPostgres(config);
  if (!postgres) throw new StartError("The embedded Postgres of the primary is not there.");
  return { number: Number(number), postgres };
}
