/** The workers of a primary: starts them, replaces those that end or hang, and passes messages to them. */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { exitStatus, FatalError } from "../errors.ts";
import type { MetricsSnapshot } from "../observability/metrics.ts";
import { type Heartbeat, missedHeartbeatsAllowed, watchHeartbeat } from "./heartbeat.ts";
import type { PrimaryMessage, WorkerMessage } from "./workerMessages.ts";

export type WorkerPool = {
  /** Starts worker 1. Workers are replaced from then on. @returns the URL of the service @throws {WorkerError} */
  startFirst(): Promise<string>;
  start(number: number): void;
  /** The workers that serve and send heartbeats. */
  responsive(): Worker[];
  /** The metrics of the responsive workers. */
  readMetrics(): Promise<MetricsSnapshot[]>;
  /** Tells every worker, including those that are still starting. */
  broadcast(message: PrimaryMessage): void;
  /** Stops replacing workers, stops them, and waits until they have ended or their time limit has passed. */
  drain(graceSeconds: number, skipGrace: AbortSignal): Promise<void>;
  /** Ends the workers that still run. @throws {Error} if one does not end, or has failed while it stopped */
  kill(): Promise<void>;
};

/** Pause before a worker is replaced; it doubles each time that the worker ends again. */
const firstPauseMs = 250;
const longestPauseMs = 30_000;
/** A worker that has run for this long has recovered: the pauses start again. */
const recoveredAfterMs = 60_000;
/** How long workers may take to stop after the grace period: longer than the limits of what they close (lib/lifecycle.ts). */
const stopTimeoutMs = 15_000;
const killTimeoutMs = 2_000;
/** How long a scrape of the metrics waits for one worker. */
const metricsTimeoutMs = 1_000;

/** The first worker ended before it served. */
export class WorkerError extends FatalError {
  readonly exitStatus: number;

  constructor({ status, reason = "The first worker was ended before it served." }: WorkerEnd) {
    super(reason);
    this.exitStatus = status || exitStatus.software;
  }
}

/** How a worker ended. The status is `null` after a signal, and if the worker could not be started. */
type WorkerEnd = { status: number | null; signal: string | null; reason?: string };

export function createWorkerPool(log: Logger, metrics: { workerEnded(): void; workerHung(): void }): WorkerPool {
  const running = new Map<Worker, Promise<WorkerEnd>>();
  const serving = new Map<Worker, Heartbeat>();
  /** Messages for workers that do not serve yet. */
  const broadcasts: PrimaryMessage[] = [];
  const pauses = new AbortController();
  let isReplacing = false;
  let hasFailed = false;

  // No worker outlives the primary, however it exits.
  process.once("exit", () => {
    for (const worker of running.keys()) worker.process.kill("SIGKILL");
  });

  /** @param restarts how many times in a row this worker was replaced */
  const start = (number: number, restarts = 0): { url: Promise<string>; end: Promise<WorkerEnd> } => {
    cluster.setupPrimary({ args: ["worker", String(number)] }); // shown by ps
    const worker = cluster.fork();
    const startedAt = performance.now();
    const heartbeat = watchHeartbeat(worker, () => {
      const { pid } = worker.process;
      log.error({ worker: number, workerPid: pid, seconds: missedHeartbeatsAllowed }, "a worker does not respond");
      metrics.workerHung();
      worker.process.kill("SIGKILL");
    });
    let reason: string | undefined;
    const url = new Promise<string>((resolve) => {
      worker.on("message", (message: WorkerMessage) => {
        if ("failure" in message) reason = message.failure;
        if (!("url" in message)) return;
        log.info({ worker: number, workerPid: worker.process.pid }, "a worker serves");
        serving.set(worker, heartbeat);
        heartbeat.serves();
        for (const earlier of broadcasts) send(worker, earlier);
        resolve(message.url);
      });
    });
    const end = new Promise<WorkerEnd>((resolve) => {
      worker.once("exit", (status: number | null, signal: string | null) => {
        running.delete(worker);
        const hasServed = serving.delete(worker);
        const end = { status, signal, ...(reason !== undefined && { reason }) };
        if (isReplacing) replace(number, countedRestarts(restarts, performance.now() - startedAt), end);
        else hasFailed ||= hasServed && status !== 0; // a worker that is still starting has nothing to finish
        resolve(end);
      });
    });
    running.set(worker, end);
    worker.on("error", (err: Error) => {
      log.warn({ worker: number, err }, "a worker cannot be reached");
      // It was ending and missed a message; or it could not be started, and will never end.
      if (worker.process.pid === undefined) worker.emit("exit", null, null);
    });
    return { url, end };
  };

  const replace = (number: number, restarts: number, end: object): void => {
    const pauseMs = Math.min(firstPauseMs * 2 ** restarts, longestPauseMs);
    log.error({ worker: number, ...end, pauseMs }, "a worker ended");
    metrics.workerEnded();
    sleep(pauseMs, undefined, pauses)
      .then(() => start(number, restarts + 1))
      .catch((err: unknown) => {
        if (isReplacing) replace(number, restarts + 1, { err }); // there was no memory or no process left
      });
  };
  const stopReplacing = (): void => {
    isReplacing = false;
    pauses.abort();
  };
  const responsive = () => [...serving].flatMap(([worker, heartbeat]) => (heartbeat.isSilent() ? [] : [worker]));
  const broadcast = (message: PrimaryMessage): void => {
    if (message !== "SIGHUP") broadcasts.push(message); // a worker that starts later reads the new certificate
    for (const worker of serving.keys()) send(worker, message);
  };

  return {
    async startFirst() {
      const first = start(1);
      const result = await Promise.race([first.url, first.end]);
      if (typeof result !== "string") throw new WorkerError(result);
      isReplacing = true;
      return result;
    },
    start: (number) => void start(number),
    responsive,
    async readMetrics() {
      return (await Promise.all(responsive().map(metricsOf))).filter((snapshot) => snapshot !== undefined);
    },
    broadcast,
    async drain(graceSeconds, skipGrace) {
      stopReplacing();
      broadcast("SIGTERM");
      if (skipGrace.aborted) broadcast("SIGINT");
      else skipGrace.addEventListener("abort", () => broadcast("SIGINT"));
      const timeout = async () => {
        await sleep(graceSeconds * 1000, undefined, { signal: skipGrace, ref: false }).catch(() => {});
        await sleep(stopTimeoutMs, undefined, { ref: false });
      };
      await Promise.race([Promise.all(running.values()), timeout()]);
    },
    async kill() {
      stopReplacing();
      const ended = Promise.all(running.values());
      for (const worker of running.keys()) worker.process.kill("SIGKILL");
      const isOver = await Promise.race([ended, sleep(killTimeoutMs, undefined, { ref: false })]);
      if (!isOver) throw new Error("not every worker ended");
      if (hasFailed) throw new Error("not every worker stopped cleanly");
    },
  };
}

/**
 * How many restarts count for the next pause.
 * @param restarts in a row, before the worker ended this time
 * @returns 0 if it ran for a minute
 */
export const countedRestarts = (restarts: number, ranMs: number): number => (ranMs < recoveredAfterMs ? restarts : 0);

/** A worker that is ending does not get the message, and emits `error`. */
const send = (worker: Worker, message: PrimaryMessage): void => {
  if (worker.isConnected()) worker.send(message);
};

/** @returns `undefined` if the worker does not respond in time */
async function metricsOf(worker: Worker): Promise<MetricsSnapshot | undefined> {
  const done = new AbortController();
  const response = new Promise<MetricsSnapshot | undefined>((resolve) => {
    const onMessage = (message: WorkerMessage) => {
      if ("metrics" in message) resolve(message.metrics);
    };
    const onExit = () => resolve(undefined);
    worker.on("message", onMessage).once("exit", onExit);
    done.signal.addEventListener("abort", () => worker.off("message", onMessage).off("exit", onExit));
  });
  send(worker, "metrics");
  const snapshot = await Promise.race([response, sleep(metricsTimeoutMs, undefined, { ref: false })]);
  done.abort();
  return snapshot;
}
