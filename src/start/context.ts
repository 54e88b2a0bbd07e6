/** The types that all stages of a start share: its options, its context and its result. */
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import type { Lifecycle } from "../lib/lifecycle.ts";
import type { MetricsSnapshot } from "../observability/metrics.ts";
import type { Service } from "../process/shutdown.ts";
import type { WorkerRole } from "../process/worker.ts";

/** A service in this process. */
export type LocalService = Service & {
  close: Lifecycle["close"];
  /** Password hashing done so far, in KiB times passes. */
  hashingWork(): number;
  /** The metrics of this process; absent without `METRICS_PORT`. */
  readMetrics?: () => Promise<MetricsSnapshot>;
};

export type StartOptions = {
  /** Set in a worker: its primary opens Postgres, applies migrations and serves the metrics. */
  worker?: WorkerRole;
  /** Shifts the service's clock. For tests. */
  clockOffsetMs?: () => number;
  /** The number of log lines that were dropped, for the metrics. */
  droppedLogLines?: () => number;
  /** Closes the parts that the start opens, and cancels the start. */
  lifecycle?: Lifecycle;
};

/** What every stage of a start receives. */
export type StartContext = Required<Omit<StartOptions, "worker">> & {
  config: Config;
  log: Logger;
  worker: WorkerRole | undefined;
};
