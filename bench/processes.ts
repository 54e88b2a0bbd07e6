/** Starts programs, and reads the CPU time and memory of process trees from Linux' /proc. */
import { type ChildProcess, type ForkOptions, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadResult, LoadSpec } from "./load/protocol.ts";

const running = new Set<ChildProcess>();

/** Kills every process that was started here. */
export function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** Lets `killAll` kill a process. */
export function track(child: ChildProcess): ChildProcess {
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGINT");
  const killTimer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await ended;
  clearTimeout(killTimer);
}

export type Server = { pid: number; url: string; readyAfterMs: number; stop(): Promise<void> };

/**
 * Starts a server and waits until `/readyz` answers with a status below 500. Its standard output, the log, goes to /dev/null.
 * @throws {Error} if it is not ready within a minute
 */
export async function startServer(node: string, script: string, settings: Record<string, string>): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const child = track(
    spawn(node, [script], {
      env: { PATH: process.env["PATH"] ?? "", NODE_ENV: "production", PORT: String(port), ...settings },
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors = `${errors}${text}`.slice(-4_000);
  });
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() - began > 60_000) {
      child.kill("SIGKILL");
      throw new Error(`${script} did not start: ${errors}`);
    }
    await sleep(5);
  }
  return { pid: child.pid as number, url, readyAfterMs: performance.now() - began, stop: () => end(child) };
}

async function isReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`).catch(() => undefined);
  await answer?.arrayBuffer();
  return answer !== undefined && answer.status < 500;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** A process that workloads for as many seconds as it is nextMessage, again and again. */
export type Worker = { pid: number; run(seconds: number): Promise<LoadResult>; stop(): Promise<void> };

export async function startWorker(node: string, script: string, job?: LoadSpec): Promise<Worker> {
  const options: ForkOptions = { execPath: node, execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] };
  const child = track(fork(script, options));
  if (job) child.send(job);
  await nextMessage(child, 20);
  return {
    pid: child.pid as number,
    run(seconds) {
      child.send(seconds);
      return nextMessage(child, seconds + 30) as Promise<LoadResult>;
    },
    stop: () => end(child),
  };
}

async function nextMessage(child: ChildProcess, timeoutSeconds: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  const ended = once(child, "exit", { signal }).then(() => {
    throw new Error(`${child.spawnargs.at(-1)} exited`);
  });
  ended.catch(() => {}); // a later exit is expected
  const [message] = await Promise.race([once(child, "message", { signal }), ended]);
  return message;
}

/** Runs a program until it exits. @returns its standard output @throws {Error} if it fails or times out */
export async function runProgram(file: string, args: string[], timeoutSeconds: number): Promise<string> {
  const child = track(spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutSeconds * 1000 }));
  let output = "";
  let errors = "";
  child.stdout?.on("data", (text) => {
    output += text;
  });
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${file} ended with ${code}: ${errors.slice(-2_000)}`);
  return output;
}

/** Whether a program of the system is installed. Debian has some of them in /usr/sbin. */
export const isInstalled = (name: string): boolean =>
  [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin"].some((folder) => existsSync(join(folder, name)));

/** CPU time in seconds: of a process tree including ended children, and of each running process. */
export type Usage = { seconds: number; byProcess: Map<number, number> };

/** USER_HZ, the unit of /proc, is 100 on every platform of Node. */
const ticksPerSecond = 100;

export function usageOf(root: number): Usage {
  const byProcess = new Map<number, number>();
  let seconds = 0;
  for (const pid of treeOf(root)) {
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = statOf(pid).slice(11, 15).map(Number);
    byProcess.set(pid, (utime + stime) / ticksPerSecond);
    seconds += (utime + stime + cutime + cstime) / ticksPerSecond;
  }
  return { seconds, byProcess };
}

/**
 * The memory of a process tree, in bytes.
 * @param kind the maximum so far (VmHWM), or the current value (VmRSS)
 */
export function memoryOf(root: number, kind: "VmHWM" | "VmRSS"): number {
  const kibibytes = treeOf(root).map((pid) => {
    return Number(new RegExp(`^${kind}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  });
  return kibibytes.reduce((sum, value) => sum + value, 0) * 1024;
}

/** The ids of a process and its descendants. */
export function treeOf(root: number): number[] {
  const all = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const parents = all.map((pid) => ({ pid, parent: Number(statOf(pid)[1] ?? 0) }));
  const tree = [root];
  for (const known of tree) tree.push(...parents.filter(({ parent }) => parent === known).map(({ pid }) => pid));
  return tree;
}

/** The fields of /proc/PID/stat after the name, which may contain spaces. Empty if the process has ended. */
const statOf = (pid: number): string[] => {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
};

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
