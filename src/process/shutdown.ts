/**
 * SIGTERM stops the process, whether it is starting or serving:
 *
 * 1. A start that is still under way is cancelled. What it has opened is closed, and the process exits.
 * 2. A running service drains for SHUTDOWN_GRACE_SECONDS: `/readyz` fails, requests are still served, and each connection is
 *    closed with its next response.
 * 3. Everything is closed, each part within a time limit (lib/lifecycle.ts): the servers, which finish the requests in flight,
 *    background tasks, connections to Postgres, and the embedded Postgres.
 * 4. The process exits: with status 0, or with 70 if a part could not be closed.
 *
 * SIGINT skips the grace period, and so does a second signal. Another signal after that exits at once, with 128 plus its number.
 * SIGHUP reloads the TLS certificate, unless the terminal was closed: then it stops the service like SIGINT.
 */
import cluster from "node:cluster";
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { Logger } from "pino";
import { createLifecycle, type Lifecycle } from "../lib/lifecycle.ts";

/** A running service, of one process or several. */
export type Service = {
  url: string;
  /** Fails readiness and closes each connection with its next response, for the grace period or until `skipGrace` is aborted. */
  drain(skipGrace: AbortSignal): Promise<void>;
  /** Reloads the TLS certificate now. Changes are also found within seconds without this. */
  reload(): void;
  /** Resolves with a sentence when the service cannot continue: its embedded Postgres has exited. */
  failed: Promise<string>;
};

export type Shutdown = {
  /** Everything that a stop closes. */
  lifecycle: Lifecycle;
  /** From now on, a stop drains this service first. */
  serviceStarted(service: Pick<Service, "drain" | "reload">): void;
  /**
   * Stops the process. Called again, it skips the grace period; after the grace period, it exits at once.
   * @param reason the name of a signal, or what has failed
   * @returns when everything is closed, with or without errors
   */
  stop(reason: string): Promise<void>;
  isStopping(): boolean;
  /** Reloads the TLS certificate. */
  reload(): void;
};

/** How long a stop may take beyond the grace period, and how much longer if it stops an embedded Postgres. */
const timeoutsMs = { stop: 19_000, embeddedPostgres: 20_500 };
/** Delay before the exit if something, such as a dead connection, keeps the process alive. The log is flushed within a second. */
const exitAfterMs = { start: 100, service: 1_500 };
/** npm and the terminal both deliver the same Ctrl-C. */
const duplicateSignalMs = 250;

/**
 * @param options.graceSeconds the grace period
 * @param options.hasEmbeddedPostgres whether this process stops an embedded Postgres
 * @param options.failureStatus the exit status if something could not be closed
 */
export function createShutdown(options: {
  graceSeconds: number;
  hasEmbeddedPostgres: boolean;
  failureStatus: number;
  log: Logger;
}): Shutdown {
  const { graceSeconds, hasEmbeddedPostgres, failureStatus, log } = options;
  const timeoutMs = timeoutsMs.stop + graceSeconds * 1000 + (hasEmbeddedPostgres ? timeoutsMs.embeddedPostgres : 0);
  const lifecycle = createLifecycle();
  const skipGrace = new AbortController();
  let service: Pick<Service, "drain" | "reload"> | undefined;
  let stopped: Promise<void> | undefined;
  let graceEndedAt = Number.POSITIVE_INFINITY;
  const endGrace = (): void => {
    skipGrace.abort();
    graceEndedAt = Math.min(graceEndedAt, performance.now());
  };

  const stop = async (reason: string): Promise<void> => {
    log.info({ reason }, "stopping");
    const timer = setTimeout(() => {
      log.fatal({ pending: lifecycle.pending() }, "could not stop in time");
      process.exit(failureStatus);
    }, timeoutMs);
    const isStarting = service === undefined;
    try {
      try {
        await service?.drain(skipGrace.signal);
      } finally {
        endGrace();
        await lifecycle.close();
      }
      log.info("stopped");
    } catch (error) {
      log.error({ err: error }, "could not stop cleanly");
      process.exitCode ??= failureStatus;
    }
    clearTimeout(timer);
    cluster.worker?.disconnect(); // the channel to the primary keeps the process alive
    const exit = setTimeout(() => process.exit(), isStarting ? exitAfterMs.start : exitAfterMs.service);
    if (!isStarting) exit.unref();
  };

  const forceStop = (reason: string): never => {
    log.warn({ reason, pending: lifecycle.pending() }, "stopped by force");
    const signalNumber = (constants.signals as Record<string, number>)[reason];
    process.exit(signalNumber === undefined ? failureStatus : 128 + signalNumber);
  };

  return {
    lifecycle,
    serviceStarted(started) {
      service = started;
    },
    stop(reason) {
      if (stopped && performance.now() - graceEndedAt > duplicateSignalMs) forceStop(reason);
      if (stopped || reason !== "SIGTERM") endGrace();
      stopped ??= stop(reason);
      return stopped;
    },
    isStopping: () => stopped !== undefined,
    reload: () => service?.reload(),
  };
}

/** Handles SIGTERM, SIGINT and SIGHUP from now on. */
export function stopOnSignals({ stop, reload }: Pick<Shutdown, "stop" | "reload">, log: Logger): void {
  const hadTerminal = isatty(0);
  replaceListeners("SIGTERM", () => void stop("SIGTERM"));
  replaceListeners("SIGINT", () => void stop("SIGINT"));
  replaceListeners("SIGHUP", () => {
    if (hadTerminal && !isatty(0)) return void stop("SIGHUP");
    log.info({ signal: "SIGHUP" }, "reading the certificate again");
    reload();
  });
}

/** The new listener is added before those of cli/earlySignals.ts are removed: without any, Node would lose a signal that it has received. */
function replaceListeners(signal: NodeJS.Signals, listener: () => void): void {
  const earlier = process.listeners(signal);
  process.on(signal, listener);
  for (const listener of earlier) process.off(signal, listener);
}

/**
 * Stops when the shell of `npm start` exits, because npm signals only that shell. Some shells replace themselves by the program
 * (`exec`); the one on Windows cannot.
 */
export function stopWithNpm({ stop, isStopping }: Pick<Shutdown, "stop" | "isStopping">): void {
  const shell = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === shell || isStopping()) return;
    clearInterval(timer);
    void stop("SIGTERM");
  }, 100);
  timer.unref();
}
