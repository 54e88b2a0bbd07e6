/** Runs the built program in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterTest } from "./afterTest.ts";
import { secretKey } from "./service.ts";

export type Program = {
  process: ChildProcess;
  /** The origin at which it listens. Rejects if the program ends before. */
  url: Promise<string>;
  stdout: string[];
  stderr: string[];
  /** The exit status, or the name of the signal that ended it. */
  exit: Promise<number | string>;
};

/**
 * Runs `latchkey` with these settings and no others, and without a grace period. It is killed after the test.
 * @param folder the folder in which it is installed
 * @param input its standard input
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
  url.catch(() => {}); // a test may await `exit` only
  return { process: child, url, stdout, stderr, exit };
}

/** Runs the service on a database, without rate limits and with a high limit of sessions. */
export const serveOn = (databaseUrl: string, settings: Record<string, string> = {}, folder?: string): Program => {
  const unlimited = { THROTTLE: "off", SESSIONS_PER_USER: "10000" };
  return runProgram([], { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, ...unlimited, ...settings }, folder);
};
