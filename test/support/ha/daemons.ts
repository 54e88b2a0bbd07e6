/** Runs the programs of the cluster as a user that Postgres accepts, each with its own log file. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterTest } from "../afterTest.ts";

/** Debian installs some of them in /usr/sbin. */
const searchPath = `${process.env["PATH"]}:/usr/sbin`;

/** Postgres refuses to run as root. */
const user =
  process.getuid?.() === 0
    ? { uid: Number(execFileSync("id", ["-u", "postgres"])), gid: Number(execFileSync("id", ["-g", "postgres"])) }
    : undefined;

export type Daemon = { process: ChildProcess; pid: number; ended: Promise<unknown> };

/** Makes a folder that the daemons' user owns, and deletes it after the test. */
export async function makeFolder(): Promise<string> {
  // In memory if possible: the cluster syncs each commit, and the disk of a test machine is slow.
  const folder = await mkdtemp(join("/dev/shm", "latchkey-ha-")).catch(() => mkdtemp(join(tmpdir(), "latchkey-ha-")));
  if (user) await chown(folder, user.uid, user.gid);
  afterTest(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return folder;
}

/** Makes the daemons' user the owner of a file. */
export async function giveAway(file: string): Promise<void> {
  if (user) await chown(file, user.uid, user.gid);
}

/** Starts a program in a folder, with its output in `NAME.log`. It is killed after the test. */
export function startDaemon(name: string, command: string, args: string[], folder: string): Daemon {
  const daemon = spawnDaemon(name, command, args, folder);
  afterTest(() => killDaemon(daemon));
  return daemon;
}

export async function killDaemon({ process: child, ended }: Daemon): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await ended;
}

/** As `startDaemon`, for a program that a test starts and others need. The caller kills it. */
export function spawnDaemon(name: string, command: string, args: string[], folder: string): Daemon {
  const log = openSync(join(folder, `${name}.log`), "a");
  // Also ends if the test's process is killed. Patroni then stops its Postgres.
  const child = spawn("setpriv", ["--pdeathsig", "TERM", command, ...args], {
    ...user,
    cwd: folder,
    env: { PATH: searchPath, HOME: folder, LC_ALL: "C.UTF-8" },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = once(child, "exit");
  if (child.pid === undefined) throw new Error(`${command} cannot be started.`);
  return { process: child, pid: child.pid, ended };
}

/** Runs a command, for at most 30 s. Returns its output. */
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
