/** Creates the folders of the embedded Postgres, and explains why they cannot be used. */
import { chmod, lchown, mkdir, mkdtemp, realpath, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { EmbeddedPostgresError } from "./binaries.ts";
import { type Account, run } from "./commands.ts";
import { socketPort } from "./roles.ts";

/** The shortest limit of the platforms for the path of a Unix socket: 103 on macOS, 107 on Linux. */
const maxSocketPathBytes = 103;

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Creates the directory and its missing parents.
 * @returns its real path
 * @throws the system's error
 */
export async function makeDataDirectory(path: string): Promise<string> {
  // With 0711, the account of Postgres can reach its socket, and nothing else.
  if (await makeDirectory(path)) await chmod(path, isRoot() ? 0o711 : 0o700);
  return realpath(path);
}

/**
 * Creates a directory and its parents. With mkdir's option `recursive`, Node never returns if a parent such as /proc accepts no
 * directories.
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

/** Creates an empty folder that only Postgres can enter. Replaces anything that has its name. */
export async function makePrivateFolder(path: string, account: Account | undefined): Promise<void> {
  await removeFolder(path);
  await mkdir(path, { mode: 0o700 });
  if (account) await lchown(path, account.uid, account.gid);
}

/**
 * Uses rm(1). Node's `rm` can follow a symbolic link that appears meanwhile, which is dangerous if we are root and the folder
 * belongs to another account.
 */
export async function removeFolder(path: string): Promise<void> {
  await run("rm", ["-rf", "--", path]);
}

/**
 * The path of a folder for a process that runs in it. If we are root, the account of Postgres often has no permission on the
 * folder's parents, such as /root. A process does not need permission on the parents of its working directory.
 */
export function pathFromInside(folder: string, account: Account | undefined): string {
  return account && process.platform === "linux" ? "/proc/self/cwd" : folder;
}

/**
 * Creates the folder of the Unix socket in the data directory. If that path is too long, or Postgres cannot reach it, the folder
 * is a temporary one.
 */
export async function makeSocketFolder(dataDir: string, account: Account | undefined): Promise<string> {
  const folder = join(dataDir, "postgres.run");
  await makePrivateFolder(folder, account);
  const socket = join(folder, `.s.PGSQL.${socketPort}`);
  const isReachable = await run("/bin/sh", ["-c", 'test -w "$0"', folder], { account });
  if (isReachable.code === 0 && Buffer.byteLength(socket) <= maxSocketPathBytes) return folder;
  await removeFolder(folder);
  const temporary = await mkdtemp(join(tmpdir(), "latchkey-"));
  if (account) await lchown(temporary, account.uid, account.gid);
  return temporary;
}

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

/** @returns an EmbeddedPostgresError for a system error; any other error unchanged */
export function explainSystemError(dataDir: string, error: unknown): unknown {
  const { code = "", syscall, message } = error as NodeJS.ErrnoException;
  if (syscall === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const reason = `${code}: ${reasons[code] ?? message}`;
  return new EmbeddedPostgresError(
    `The data directory ${resolve(dataDir)} cannot be used (${reason}). ` +
      "Choose another one, or set DATABASE_URL to use a Postgres of your own.",
    { cause: error },
  );
}

/** @returns the last error in the output of a Postgres program, with its hint. Without an error, the last line. */
export function lastError(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const index = lines.findLastIndex((line) => /\b(?:PANIC|FATAL|error):|^initdb: could not/.test(line));
  const complaint = (lines.at(index) ?? "").replace(/^.*?\b(?:PANIC|FATAL|error|initdb): +/, "").trim();
  const [, hint] = /\bHINT: +(.*)$/.exec(index === -1 ? "" : (lines[index + 1] ?? "")) ?? [];
  return hint === undefined ? complaint : `${complaint} (${hint.trim()})`;
}
