/**
 * Handles signals while the command is loaded, which takes hundreds of milliseconds. Process 1 of a container has no default
 * actions for signals: without a listener, a signal would be ignored.
 */
export function handleEarlySignals(command: string): void {
  const isService = command === "serve" || command[0] === "-";
  const exitWith = (status: number) => () => {
    if (command !== "worker") process.exit(isService ? 0 : status); // only its primary stops a worker
  };
  process.on("SIGTERM", exitWith(143));
  process.on("SIGINT", exitWith(130));
  if (isService || command === "worker") process.on("SIGHUP", () => {}); // the certificate is not loaded yet
}
