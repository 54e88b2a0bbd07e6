/** Prints one sentence, and no stack trace, if the program cannot be loaded. */

/** Exits unless this Node is recent enough. */
export function requireNode(oldestMajor: number, oldestMinor: number): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    exit(`Node ${process.versions.node} is too old: ${oldestMajor}.${oldestMinor} or newer is needed.`, 69);
}

/** @returns the module; exits if it cannot be loaded */
export const load = <Module>(importModule: () => Promise<Module>): Promise<Module> =>
  importModule().catch(exitCannotLoad);

/** Exits: a package is missing or damaged, or the system does not let it be read. */
export function exitCannotLoad(error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = String(message).split("\n")[0];
  if (code === "EMFILE" || code === "ENFILE")
    exit(`The program cannot be loaded: ${reason}. Raise the limit of open files (ulimit -n).`, 69);
  // It is missing after an installation without optional packages.
  if (/native binding|argon2/.test(String(message))) {
    const libc = process.platform === "linux" ? "-gnu (or -musl)" : process.platform === "win32" ? "-msvc" : "";
    const name = `@node-rs/argon2-${process.platform}-${process.arch}${libc}`;
    const command = `npm install --no-save --omit=dev --omit=optional ${name}`;
    exit(`The argon2 for this platform is an optional package and not installed. Run ${command}.`, 69);
  }
  exit(`The program cannot be loaded: ${reason}. Install it again.`, 70);
}

function exit(message: string, status: number): never {
  process.stderr.write(`latchkey: ${message}\n`);
  process.exit(status);
}
