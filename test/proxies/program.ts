/** Runs a proxy until the end of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterTest } from "../support/afterTest.ts";
import { untilListening } from "../support/ports.ts";

/** Debian installs some of them in /usr/sbin. */
export const searchPath = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };

/**
 * Starts a program that stays in the foreground.
 * @param port the promise resolves when the program accepts connections on it, and rejects with its output if it ends before
 */
export async function startProxyProgram(
  command: string,
  args: string[],
  port: number,
  env = {},
): Promise<ChildProcess> {
  const program = spawn(command, args, { env: { ...searchPath, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [program.stdout, program.stderr]) stream.on("data", (data: Buffer) => (output += data));
  const ended = once(program, "close").then(() => {
    throw new Error(`${command} ended:\n${output}`);
  });
  ended.catch(() => {});
  afterTest(async () => {
    program.kill("SIGTERM");
    await ended.catch(() => {});
  });
  await Promise.race([untilListening(port), ended]);
  return program;
}
