/** The data directory: how it is made, and the sentence that says why it cannot be used. */
import { chmod, mkdir, realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { EmbeddedPostgresError } from "./binaries.ts";

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Makes the directory and its parents where they are missing.
 * @returns its real path
 * @throws the system's error
 */
export async function makeDataDirectory(path: string): Promise<string> {
  // Postgres' own account must be able to pass through to its socket, which is all that this lets it do.
  if (await makeDirectory(path)) await chmod(path, isRoot() ? 0o711 : 0o700);
  return realpath(path);
}

/**
 * Not mkdir's own `recursive`: where the parent is there and takes no directories, as /proc, Node tries for ever.
 * @returns whether it was missing
 */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    const isDirectory = await stat(path).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isDirectory) return false;
    if (code !== "ENOENT" || parent === path || !(await makeDirectory(parent))) throw error;
    await mkdir(path);
    return true;
  }
}

/** What a system error means for a directory that somebody has chosen. */
const reasons: Record<string, string> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "read-only file system",
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is used up",
  EEXIST: "something that is not a directory has this name",
  ENOTDIR: "a parent is not a directory",
  ENOENT: "nothing can be made there",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "this process may not open more files: raise ulimit -n",
  ENFILE: "the system may not open more files",
  EIO: "the device reports an error",
};

/** @returns the sentence for the system's error; any other error as it is */
export function unusable(dataDir: string, error: unknown): unknown {
  const { code = "", syscall, message } = error as NodeJS.ErrnoException;
  if (syscall === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const reason = `${code}: ${reasons[code] ?? message}`;
  return new EmbeddedPostgresError(
    `The data directory ${resolve(dataDir)} cannot be used (${reason}). ` +
      "Choose another one, or set DATABASE_URL to use a Postgres of your own.",
    { cause: error },
  );
}

/** Postgres' programs say much: the last line that says what is wrong, with its hint, or the last one of all. */
export function complaintOf(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const index = lines.findLastIndex((line) => /\b(?:PANIC|FATAL|error):|^initdb: could not/.test(line));
  const complaint = (lines.at(index) ?? "").replace(/^.*?\b(?:PANIC|FATAL|error|initdb): +/, "").trim();
  const [, hint] = /\bHINT: +(.*)$/.exec(index === -1 ? "" : (lines[index + 1] ?? "")) ?? [];
  return hint === undefined ? complaint : `${complaint} (${hint.trim()})`;
}
