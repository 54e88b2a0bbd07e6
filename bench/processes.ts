/** Programs in processes of their own, and what they cost: whole trees of processes, from Linux' /proc. */
import { type ChildProcess, type ForkOptions, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Outcome } from "./load/load.ts";

const running = new Set<ChildProcess>();

/** Ends all that was started here and still runs, at once. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

function remember(child: ChildProcess): ChildProcess {
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
 * Starts a server and waits until it is ready: its `/readyz` says so, or that there is no such thing. What it says
 * on its standard output goes to /dev/null: it is written as in production, and kept by nobody.
 */
export async function startServer(node: string, script: string, settings: Record<string, string>): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const child = remember(
    spawn(node, [script], {
      env: { PATH: process.env["PATH"] ?? "", NODE_ENV: "production", PORT: String(port), ...settings },
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
  let complaints = "";
  child.stderr?.on("data", (text) => {
    complaints = `${complaints}${text}`.slice(-4_000);
  });
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() - began > 60_000) {
      child.kill("SIGKILL");
      throw new Error(`${script} does not start: ${complaints}`);
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

/** A process that works for as many seconds as it is told, again and again. */
export type Worker = { pid: number; run(seconds: number): Promise<Outcome>; stop(): Promise<void> };

export async function startWorker(node: string, script: string, job?: Job): Promise<Worker> {
  const options: ForkOptions = { execPath: node, execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] };
  const child = remember(fork(script, options));
  if (job) child.send(job);
  await told(child, 20);
  return {
    pid: child.pid as number,
    run(seconds) {
      child.send(seconds);
      return told(child, seconds + 30) as Promise<Outcome>;
    },
    stop: () => end(child),
  };
}

async function told(child: ChildProcess, timeoutSeconds: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutSeconds * 1000);
  const ended = once(child, "exit", { signal }).then(() => {
    throw new Error(`${child.spawnargs.at(-1)} ended`);
  });
  ended.catch(() => {}); // an end that comes later is none of our business
  const [message] = await Promise.race([once(child, "message", { signal }), ended]);
  return message;
}

/** Runs a program to its end, for so long at most. @returns its standard output */
export async function runProgram(file: string, args: string[], timeoutSeconds: number): Promise<string> {
  const child = remember(spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutSeconds * 1000 }));
  let output = "";
  let complaints = "";
  child.stdout?.on("data", (text) => {
    output += text;
  });
  child.stderr?.on("data", (text) => {
    complaints += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${file} ended with ${code}: ${complaints.slice(-2_000)}`);
  return output;
}

/** What a tree of processes has used of the processors so far, in seconds. */
export type Usage = { seconds: number /** Of each process. */; byProcess: Map<number, number> };

/** USER_HZ, in which /proc counts, is 100 wherever Node runs on Linux. */
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
 * The memory of a tree of processes, in bytes.
 * @param kind the most that it ever was (VmHWM), or what it is (VmRSS)
 */
export function memoryOf(root: number, kind: "VmHWM" | "VmRSS"): number {
  const kibibytes = treeOf(root).map((pid) => {
    return Number(new RegExp(`^${kind}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  });
  return kibibytes.reduce((sum, value) => sum + value, 0) * 1024;
}

/** A process and all that descend from it. */
export function treeOf(root: number): number[] {
  const all = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const parents = all.map((pid) => ({ pid, parent: Number(statOf(pid)[1] ?? 0) }));
  const tree = [root];
  for (const known of tree) tree.push(...parents.filter(({ parent }) => parent === known).map(({ pid }) => pid));
  return tree;
}

/** What /proc says of a process behind its name, which may hold anything; nothing of one that has ended. */
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
