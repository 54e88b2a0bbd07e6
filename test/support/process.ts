/** The program as it is shipped, in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterTest } from "./afterTest.ts";
import { secretKey } from "./service.ts";

export type Program = {
  process: ChildProcess;
  /** Where it listens; rejects when it ends before. */
  url: Promise<string>;
  stdout: string[];
  stderr: string[];
  /** Its exit status, when it has ended; a signal's name where one ended it. */
  exit: Promise<number | string>;
};

/**
 * Runs `latchkey` with these settings and no others, in no need of grace. It is killed after the test, should it still run.
 * @param folder where it is installed
 * @param input what it reads on its standard input
 */
export function runProgram(
  args: string[],
  settings: Record<string, string>,
  folder = ".",
  input?: string | Buffer,
): Program {
  const child = spawn(process.execPath, [join(folder, "dist/src/main.js"), ...args], {
    env: {
      PATH: process.env["PATH"] ?? "",
      PORT: "0",
      SHUTDOWN_GRACE_SECONDS: "0",
      CONTRACT_CHECK: "enforce",
      ...settings,
    },
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(input);
  afterTest(() => child.kill("SIGKILL"));
  const stdout: string[] = [];
  const stderr: string[] = [];
  if (!child.stdout || !child.stderr) throw new Error("The program cannot be read.");
  const { stdout: output } = child;
  createInterface(child.stderr).on("line", (line) => stderr.push(line));
  const exit = once(child, "close").then(([code, signal]) => (code ?? signal) as number | string);
  const url = new Promise<string>((resolve, reject) => {
    createInterface(output).on("line", (line) => {
      stdout.push(line);
      const { msg, url } = line.startsWith("{") ? JSON.parse(line) : {};
      if (msg === "listening") resolve(url);
    });
    exit.then((status) => reject(new Error(`ended with ${status}: ${stderr.join("\n")}`)), reject);
  });
  url.catch(() => {}); // for whom only the exit matters
  return { process: child, url, stdout, stderr, exit };
}

/** Serves on this database, without a limit on how often somebody may ask, or on sessions that a test is likely to meet. */
export const serveOn = (databaseUrl: string, settings: Record<string, string> = {}, folder?: string): Program => {
  const unlimited = { THROTTLE: "off", SESSIONS_PER_USER: "10000" };
  return runProgram([], { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, ...unlimited, ...settings }, folder);
};
