/** The postmaster, the main process of Postgres: its signals, its marker in the process list, and its file postmaster.pid. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./commands.ts";

/** The signals that stop a postmaster, and how long each may take. None of them loses committed data. */
export const shutdowns = [
  { signal: "SIGINT", timeoutMs: 10_000 }, // "fast": ends the sessions and writes a checkpoint
  { signal: "SIGQUIT", timeoutMs: 6_000 }, // "immediate": the next start performs crash recovery
  { signal: "SIGKILL", timeoutMs: 4_000 }, // its children notice and end too
] as const;

/** Marks our postmasters in the process list. Postgres ignores settings with such a name. */
export const marker = (cluster: string): string => `latchkey.data_directory=${cluster}`;

/** The contents of postmaster.pid: the process id in the first line, the state in the last. Empty if Postgres does not run. */
export async function readPidFile(cluster: string): Promise<string> {
  return readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "");
}

/** @returns the process id of the postmaster that runs on this cluster, if Latchkey started it */
export async function findPostmaster(cluster: string): Promise<number | undefined> {
  const pid = await recordedPid(cluster);
  return pid && (await commandLine(pid)).includes(marker(cluster)) ? pid : undefined;
}

/**
 * Removes the postmaster.pid of a postmaster that was killed. Its process id may belong to another process by now, which is
 * common in containers, and then Postgres refuses to start. None of our postmasters runs, because we hold its lock. The file of a
 * postmaster that was started by hand stays, so that Postgres refuses to start.
 */
export async function removeStalePidFile(cluster: string): Promise<void> {
  const pid = await recordedPid(cluster);
  const command = pid ? await commandLine(pid) : "";
  const isStartedByHand = /^[^\0]*postgres[\0 ]/.test(command) && !command.includes(marker(""));
  if (!isStartedByHand) await rm(join(cluster, "postmaster.pid"), { force: true });
}

async function recordedPid(cluster: string): Promise<number | undefined> {
  return Number.parseInt(await readPidFile(cluster), 10) || undefined;
}

/** @returns an empty string if there is no such process */
async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") return readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return (await run("ps", ["-ww", "-o", "args=", "-p", String(pid)])).output;
}
