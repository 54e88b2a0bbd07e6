#!/usr/bin/env node
/**
 * The entry of the command line, without imports of its own. Prints one sentence instead of a stack trace if the program cannot
 * be loaded, for example by an old Node. It is written for Node 14 to parse.
 */

// Without a listener, Node opens its inspector on SIGUSR1: a debugger without a password, on which everybody on the machine can
// run code in this process.
process.on("SIGUSR1", () => {});

const oldest = [20, 19] as const;
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
  refuse(`Node ${process.versions.node} is too old: ${oldest.join(".")} or newer is needed.`, 69);
} else {
  handleEarlySignals(process.argv[2] || "serve");
  import("./process/newSpace.ts").then(() => import("./cli/program.ts")).catch(cannotLoad);
}

/**
 * What signals do until the program handles them itself: loading it takes a good part of a second. Process 1 of a container has
 * no default actions, so that without listeners a signal would be lost.
 */
function handleEarlySignals(command: string): void {
  const isService = command === "serve" || command[0] === "-";
  // A worker is stopped by its primary alone. Of a service nothing has begun yet.
  const end = (status: number) => () => command !== "worker" && process.exit(isService ? 0 : status);
  process.on("SIGTERM", end(143));
  process.on("SIGINT", end(130));
  if (isService || command === "worker") process.on("SIGHUP", () => {}); // its certificate is about to be read
}

/** A package is missing, or the system does not let us read it. */
function cannotLoad(error: unknown): void {
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = String(message).split("\n")[0];
  if (code === "EMFILE" || code === "ENFILE") {
    refuse(`The program cannot be loaded: ${reason}. Raise the limit of open files (ulimit -n).`, 69);
  }
  // An installation without optional packages lacks this one, too.
  if (/native binding|argon2/.test(String(message))) {
    const libc = process.platform === "linux" ? "-gnu (or -musl)" : process.platform === "win32" ? "-msvc" : "";
    const name = `@node-rs/argon2-${process.platform}-${process.arch}${libc}`;
    const command = `npm install --no-save --omit=dev --omit=optional ${name}`;
    refuse(`The argon2 for this platform is an optional package and not installed. Run ${command}.`, 69);
  }
  refuse(`The program cannot be loaded: ${reason}. Install it again.`, 70);
}

function refuse(message: string, status: number): never {
  process.stderr.write(`latchkey: ${message}\n`);
  process.exit(status);
}
