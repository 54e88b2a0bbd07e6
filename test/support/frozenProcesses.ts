/** Freezes processes (SIGSTOP) and lets them run again. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Freezes a process and its children.
 * @returns their process ids, for `thaw`; the parent is the first
 */
export async function freeze(parent: number): Promise<number[]> {
  process.kill(parent, "SIGSTOP");
  // A signal takes effect a moment after it was sent. From then on, the parent starts no child, and does not reap one that ends:
  // such a child is a zombie, which can be signalled.
  while (!(await isStopped(parent))) await sleep(1);
  const children = await readFile(`/proc/${parent}/task/${parent}/children`, "utf8");
  const pids = [parent, ...children.split(" ").filter(Boolean).map(Number)];
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  return pids;
}

/** Lets them run again. The parent is the last: once it runs, it reaps the children that have ended. */
export function thaw(pids: number[]): void {
  for (const pid of pids.toReversed()) process.kill(pid, "SIGCONT");
}

async function isStopped(pid: number): Promise<boolean> {
  // The name before the state is in parentheses, and may contain some.
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
