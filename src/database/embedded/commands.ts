/** Runs the programs of Postgres and of the system, and waits for them. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/** The account that Postgres runs as, if not ours. */
export type Account = { uid: number; gid: number };

/** The complete environment of a child process. Our PG* variables would change the behaviour of Postgres. */
// biome-ignore lint/style/noProcessEnv: where the programs of the system are is not a setting
export const childEnvironment = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

/**
 * Runs a short command to its end, without a shell.
 * @param options.handles passed on as the file descriptors 3, 4, …
 * @param options.cancelled ends the command with SIGTERM
 * @returns its exit status and output. `code` is null if it was killed, or could not be run: then the output is the reason.
 */
export async function run(
  command: string,
  args: string[],
  options: {
    account?: Account | undefined;
    cwd?: string;
    handles?: number[];
    cancelled?: AbortSignal | undefined;
  } = {},
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      ...options.account,
      cwd: options.cwd ?? "/",
      env: childEnvironment,
      stdio: ["ignore", "pipe", "pipe", ...(options.handles ?? [])],
    });
    const end = () => child.kill();
    if (options.cancelled?.aborted) end();
    options.cancelled?.addEventListener("abort", end);
    let output = "";
    child.stdout?.on("data", (chunk) => (output += chunk));
    child.stderr?.on("data", (chunk) => (output += chunk));
    child.once("error", (error) => resolve({ code: null, output: error.message }));
    child.once("close", (code) => {
      options.cancelled?.removeEventListener("abort", end);
      resolve({ code, output });
    });
  });
}

/** Does nothing if the process has ended. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Repeats `attempt` every 20 ms until it returns a value. @returns `undefined` after `timeoutMs` */
export async function poll<T>(
  timeoutMs: number,
  attempt: () => Promise<T | undefined>,
  cancelled?: AbortSignal,
): Promise<T | undefined> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    cancelled?.throwIfAborted();
    const result = await attempt();
    if (result !== undefined || performance.now() > end) return result;
    await sleep(20);
  }
}
