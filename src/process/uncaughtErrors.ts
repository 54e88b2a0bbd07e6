/** What happens to an error that nothing handles: it is logged, and the process stops with a status that says so. */
import { writeSync } from "node:fs";
import type { Logger } from "pino";
import { describeError } from "../observability/describeError.ts";

/** An error that comes again and again must not fill the log while the process stops. */
const mostLogged = 10;

export type LastResort = {
  /**
   * Says how to stop in an orderly way, from now on, and where to log it. Before, the process exits at once.
   * @param stop ends the process itself where it cannot stop in time
   */
  stopBy(stop: (reason: string) => Promise<void>, log: Logger): void;
};

/**
 * Installs handlers for uncaught exceptions and unhandled rejections. The process is in an unknown state then: it stops
 * as for a signal without grace, and exits within a bounded time, whatever fails meanwhile.
 * @param status of the exit
 */
export function exitOnUnhandledErrors(log: Logger, status: number): LastResort {
  let failures = 0;
  let stopping = { stop: async (_reason: string): Promise<void> => {}, log };
  const exit = () => {
    try {
      process.exit(status);
    } catch {
      process.exit(status); // the listeners of "exit", of which one has thrown, are not called again
    }
  };
  const fail = (error: unknown, origin: string): void => {
    failures += 1;
    if (failures <= mostLogged) report(stopping.log, error, origin);
    if (failures > 1) return;
    process.exitCode = status; // should nothing keep the process alive meanwhile
    stopping.stop(origin).then(exit, exit);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", (reason) => fail(reason, "unhandledRejection"));
  return {
    stopBy: (stop, log) => {
      stopping = { stop, log };
    },
  };
}

/** What was thrown need not be an error, and could then be anything, with a secret in it. */
function report(log: Logger, thrown: unknown, origin: string): void {
  const err = thrown instanceof Error ? thrown : new Error(`not an error was thrown, but of type ${typeof thrown}`);
  try {
    log.fatal({ err, origin }, "an error was not handled");
  } catch {
    try {
      writeSync(process.stderr.fd, `latchkey: ${origin}: ${JSON.stringify(describeError(err))}\n`);
    } catch {
      // There is nowhere left to say it but the exit status.
    }
  }
}
