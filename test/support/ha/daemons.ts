/** Programs of the cluster, run by a user that Postgres accepts, each with a log file of its own. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterTest } from "../afterTest.ts";

/** Debian keeps some of them where not everybody looks. */
const searchPath = `${process.env["PATH"]}:/usr/sbin`;

/** Postgres refuses to run as root. */
const user =
  process.getuid?.() === 0
    ? { uid: Number(execFileSync("id", ["-u", "postgres"])), gid: Number(execFileSync("id", ["-g", "postgres"])) }
    : undefined;

export type Daemon = { process: ChildProcess; pid: number; ended: Promise<unknown> };

/** Makes a folder that the daemons' user owns, and deletes it at the end. */
export async function makeFolder(): Promise<string> {
  // In memory where possible: the cluster syncs each commit, and the disk of a test machine is slow.
  const folder = await mkdtemp(join("/dev/shm", "latchkey-ha-")).catch(() => mkdtemp(join(tmpdir(), "latchkey-ha-")));
  if (user) await chown(folder, user.uid, user.gid);
  afterTest(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return folder;
}

/** Gives a file that the test has written to the daemons' user. */
export async function giveAway(file: string): Promise<void> {
  if (user) await chown(file, user.uid, user.gid);
}

/** Starts a program in a folder, where `NAME.log` gets its output. It is killed at the end. */
export function startDaemon(name: string, command: string, args: string[], folder: string): Daemon {
  const log = openSync(join(folder, `${name}.log`), "a");
  // Ended with the test's process as well, whatever becomes of that: Patroni stops its Postgres then.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", command, ...args], {
    ...user,
    cwd: folder,
    env: { PATH: searchPath, HOME: folder, LC_ALL: "C.UTF-8" },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = once(child, "exit");
  afterTest(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await ended;
  });
  if (child.pid === undefined) throw new Error(`${command} cannot be started.`);
  return { process: child, pid: child.pid, ended };
}

/** Runs a command to its end, for 30 s at most. @returns its output */
export async function runCommand(command: string, args: string[], folder: string): Promise<string> {
  const env = { PATH: searchPath, HOME: folder, LC_ALL: "C.UTF-8" };
  const { stdout } = await promisify(execFile)(command, args, { ...user, cwd: folder, env, timeout: 30_000 });
  return stdout;
}

export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Sends a signal to processes, some of which may have ended. */
export function signalAll(pids: number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }
}
