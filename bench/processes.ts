/** Servers in processes of their own, and what they use. They end with the benchmark, however that ends. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type Server = {
  url: string;
  /** From the start of its process to its first answer. */
  startMs: number;
  /** CPU time used so far by it and its children, in microseconds. */
  cpuMicroseconds(): number;
  /** Resident now, and at most so far, in MiB, of it and its children together. */
  memoryMiB(): { now: number; peak: number };
  stop(): Promise<void>;
};

const startTimeoutMs = 30_000;
const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
const children = new Set<ChildProcess>();

process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

/**
 * Starts a server and waits until it answers on a path, whatever it says.
 * @throws where it ends before, or does not answer in 30 s
 */
export async function startServer(
  command: [string, ...string[]],
  settings: Record<string, string>,
  path: string,
): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const began = performance.now();
  const child = run(command, { ...settings, PORT: String(port) });
  while (!(await answers(url + path))) {
    if (child.exitCode !== null) throw new Error(`${command.join(" ")} ended with ${child.exitCode}: ${child.said()}`);
    if (performance.now() - began > startTimeoutMs)
      throw new Error(`${command.join(" ")} does not answer: ${child.said()}`);
    await sleep(5);
  }
  const pid = child.pid ?? 0;
  return {
    url,
    startMs: performance.now() - began,
    cpuMicroseconds: () => sum(familyOf(pid).map(cpuOf)),
    memoryMiB() {
      const family = familyOf(pid);
      return {
        now: sum(family.map((one) => memoryOf(one, "VmRSS"))),
        peak: sum(family.map((one) => memoryOf(one, "VmHWM"))),
      };
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      const deadline = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(deadline);
    },
  };
}

/** Runs a program to its end. @returns what it printed, and the CPU time that it used is its own */
export async function runToEnd(command: [string, ...string[]], timeoutMs: number): Promise<string> {
  const child = run(command, {}, "pipe");
  const deadline = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  let printed = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  const [status] = await once(child, "close");
  clearTimeout(deadline);
  if (status !== 0) throw new Error(`${command.slice(0, 3).join(" ")} ended with ${status}: ${child.said()}`);
  return printed;
}

type Child = ChildProcess & { /** The end of what it complained of. */ said(): string };

function run([file, ...args]: [string, ...string[]], settings: Record<string, string>, output?: "pipe"): Child {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(file, args, {
    env: { PATH, HOME, NODE_ENV: "production", ...settings },
    stdio: ["ignore", output ?? "ignore", "pipe"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2_000);
  });
  return Object.assign(child, { said: () => said });
}

async function answers(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(1_000) }).then(
    async (answer) => {
      await answer.arrayBuffer();
      return answer.status !== 503;
    },
    () => false,
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** A process and all that descend from it. */
function familyOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (/^\d+$/.test(name)) parents.set(Number(name), Number(statOf(Number(name))[1] ?? 0));
  }
  const family = [pid];
  for (const one of family) for (const [child, parent] of parents) if (parent === one) family.push(child);
  return family;
}

/** The fields of proc(5) from the state on. None of a process that is gone. */
function statOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
  } catch {
    return [];
  }
}

const cpuOf = (pid: number) => {
  const fields = statOf(pid);
  return ((Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 1_000_000) / ticksPerSecond;
};

function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
