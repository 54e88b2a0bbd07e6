/** How a process that serves is stopped, at any moment: while it starts, while it serves, and while it stops already. */
import cluster from "node:cluster";
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { Logger } from "pino";
import { type Closers, createClosers } from "../lib/lifecycle.ts";

/** What a start opens, and what cancels it. */
export type Start = { closers: Closers; cancelled: AbortSignal };

/** What a service that has started can be asked. */
type Running = { drain(skipGrace: AbortSignal): Promise<void>; reload(): void };

export type Stopper = Start & {
  /** From now on a stop drains the service first. */
  started(service: Running): void;
  /** @returns when the service has stopped, cleanly or not. Called again, it skips the grace period, and then forces the exit. */
  stop(reason: string): Promise<void>;
  /** Reads the certificate again. */
  reload(): void;
};

/** How long a stop may take beyond the grace period, and how much longer where an embedded Postgres is stopped. */
const limitsMs = { stop: 19_000, embeddedPostgres: 20_500 };
/** A dead connection must not keep the process alive. Flushing the log takes up to a second. */
const lingerMs = { afterStart: 1_500, whileStarting: 100 };
/** npm and a terminal both hand on the same Ctrl-C. */
const duplicateMs = 250;

/** For a start that nothing cancels. */
export const uncancelled = (): Start => ({ closers: createClosers(), cancelled: new AbortController().signal });

/**
 * @param settings the grace period in seconds, and whether this process stops an embedded Postgres
 * @param failureStatus of the exit where something could not be closed
 */
export function createStopper(
  settings: { graceSeconds: number; hasEmbeddedPostgres: boolean },
  log: Logger,
  failureStatus: number,
): Stopper {
  const closers = createClosers();
  const cancel = new AbortController();
  const skipGrace = new AbortController();
  let service: Running | undefined;
  let stopped: Promise<void> | undefined;
  /** When the grace period was over, in milliseconds. */
  let graceEndedAt = Number.POSITIVE_INFINITY;
  const endGrace = (): void => {
    skipGrace.abort();
    graceEndedAt = Math.min(graceEndedAt, performance.now());
  };

  const stop = async (reason: string): Promise<void> => {
    log.info({ reason }, "stopping");
    const limitMs =
      limitsMs.stop + settings.graceSeconds * 1000 + (settings.hasEmbeddedPostgres ? limitsMs.embeddedPostgres : 0);
    // A last resort: the parts have shorter limits.
    const lastResort = setTimeout(() => {
      log.fatal({ pending: closers.pending() }, "could not stop in time");
      process.exit(failureStatus);
    }, limitMs);
    cancel.abort(new Error("The start was cancelled."));
    const isStarting = service === undefined;
    try {
      try {
        await service?.drain(skipGrace.signal);
      } finally {
        endGrace();
        await closers.close();
      }
      log.info("stopped");
    } catch (error) {
      log.error({ err: error }, "could not stop cleanly");
      process.exitCode ??= failureStatus;
    }
    clearTimeout(lastResort);
    cluster.worker?.disconnect(); // or the primary would hold the process
    const linger = setTimeout(() => process.exit(), isStarting ? lingerMs.whileStarting : lingerMs.afterStart);
    if (!isStarting) linger.unref();
  };

  const force = (reason: string): never => {
    log.warn({ reason, pending: closers.pending() }, "stopped by force");
    const number = (constants.signals as Record<string, number>)[reason];
    process.exit(number === undefined ? failureStatus : 128 + number);
  };

  return {
    closers,
    cancelled: cancel.signal,
    started(running) {
      service = running;
    },
    stop(reason) {
      // A second signal skips the grace period, and so does everything but SIGTERM. One more does not wait at all.
      if (stopped && performance.now() - graceEndedAt > duplicateMs) force(reason);
      if (stopped || reason !== "SIGTERM") endGrace();
      stopped ??= stop(reason);
      return stopped;
    },
    reload: () => service?.reload(),
  };
}

/**
 * Handles SIGTERM, SIGINT and SIGHUP. SIGHUP reloads the certificate, unless the terminal was closed: then it stops the service
 * like SIGINT.
 */
export function stopBySignals(stopper: Stopper, log: Logger): void {
  const hadTerminal = isatty(0);
  for (const signal of ["SIGTERM", "SIGINT"] as const) handle(signal, () => void stopper.stop(signal));
  handle("SIGHUP", () => {
    if (hadTerminal && !isatty(0)) return void stopper.stop("SIGHUP");
    log.info({ signal: "SIGHUP" }, "reading the certificate again");
    stopper.reload();
  });
}

/** Replaces the listeners of main.ts. The new one comes first: without any, Node drops a signal that is still to be reported. */
function handle(signal: NodeJS.Signals, listener: () => void): void {
  const before = process.listeners(signal);
  process.on(signal, listener);
  for (const earlier of before) process.off(signal, earlier);
}

/**
 * Stops when the shell of `npm start` exits, because npm signals only that shell. Some shells can be replaced by the program
 * (`exec`), which that of Windows cannot.
 */
export function stopWithShellOfNpm(stopper: Stopper): void {
  const shell = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === shell || stopper.cancelled.aborted) return;
    clearInterval(timer);
    void stopper.stop("SIGTERM");
  }, 100);
  timer.unref();
}
