/**
 * What signals do until the program handles them itself: reading its modules takes a good part of a second. Process 1 of a
 * container has no default actions, so that without listeners a signal would be lost. Written for old versions of Node to parse.
 */
const command = process.argv[2] || "serve";
const isService = command === "serve" || command[0] === "-";

const numbers: Record<string, number> = { SIGINT: 2, SIGTERM: 15 };
const onSignal = (signal: NodeJS.Signals): void => {
  // A worker is stopped by its primary alone.
  if (command !== "worker") process.exit(isService ? 0 : 128 + (numbers[signal] as number));
};
const ignore = (): void => {};

process.on("SIGTERM", onSignal);
process.on("SIGINT", onSignal);
// A service that is to read its certificate again has just read it.
if (isService || command === "worker") process.on("SIGHUP", ignore);

/** Removes these listeners, once others are there. */
export function endEarlySignals(): void {
  process.off("SIGTERM", onSignal);
  process.off("SIGINT", onSignal);
  process.off("SIGHUP", ignore);
}
