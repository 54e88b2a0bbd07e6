/** Uncaught exceptions and unhandled rejections: they are logged, and the process stops with an error status. */
import { writeSync } from "node:fs";
import type { Logger } from "pino";
import { describeError } from "../observability/describeError.ts";

/** An error that occurs again and again must not fill the log while the process stops. */
const maxLogged = 10;

export type UncaughtErrorHandler = {
  /**
   * From now on, an error starts an orderly shutdown. Until then, the process exits at once.
   * @param stop exits the process itself if it cannot stop in time
   * @param log for the errors from now on
   */
  stopWith(stop: (reason: string) => Promise<void>, log: Logger): void;
};

/**
 * Handles errors that nothing else has handled. The state of the process is unknown then: it stops without a grace period and
 * exits within a bounded time, whatever fails meanwhile.
 */
export function exitOnUncaughtErrors(log: Logger, status: number): UncaughtErrorHandler {
  let errors = 0;
  let current = { stop: async (_reason: string): Promise<void> => {}, log };
  const exit = () => {
    try {
      process.exit(status);
    } catch {
      process.exit(status); // an "exit" listener has thrown; the listeners are not called again
    }
  };
  const handle = (error: unknown, origin: string): void => {
    errors += 1;
    if (errors <= maxLogged) logError(current.log, error, origin);
    if (errors > 1) return;
    process.exitCode = status; // in case the process ends by itself meanwhile
    current.stop(origin).then(exit, exit);
  };
  process.on("uncaughtException", handle);
  process.on("unhandledRejection", (reason) => handle(reason, "unhandledRejection"));
  return {
    stopWith(stop, log) {
      current = { stop, log };
    },
  };
}

/** A thrown value that is not an error is not logged: it could be anything, and contain a secret. */
function logError(log: Logger, thrown: unknown, origin: string): void {
  const err =
    thrown instanceof Error ? thrown : new Error(`a value that is not an Error was thrown, of type ${typeof thrown}`);
  try {
    log.fatal({ err, origin }, "an error was not handled");
  } catch {
    try {
      writeSync(process.stderr.fd, `latchkey: ${origin}: ${JSON.stringify(describeError(err))}\n`);
    } catch {
      // Only the exit status is left.
    }
  }
}
