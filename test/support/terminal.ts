/** Runs the built program on a pseudo-terminal, which Debian's `script` provides. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterTest } from "./afterTest.ts";

type Terminal = {
  /** What is on the screen: both outputs, and what the terminal echoes. */
  screen(): string;
  /** Types keys once the screen has the text below what it had at the last call. */
  type(keys: string, after: string): Promise<void>;
  exit: Promise<number>;
};

/**
 * Runs `latchkey` with these settings and no others. It is killed after the test.
 * @param options.columns the width of the terminal
 */
export function runOnTerminal(
  args: string[],
  settings: Record<string, string>,
  { columns = 80 }: { columns?: number } = {},
): Terminal {
  const program = [process.execPath, join("dist/src/main.js"), ...args].map((word) => `'${word}'`).join(" ");
  const command = `stty cols ${columns}; exec ${program}`;
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    env: { PATH: process.env["PATH"] ?? "", SHELL: "/bin/sh", ...settings },
    stdio: ["pipe", "pipe", "ignore"],
  });
  afterTest(() => child.kill("SIGKILL"));
  let text = "";
  let seen = 0;
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part.replaceAll("\r\n", "\n");
  });
  const exit = once(child, "close").then(([code]) => Number(code));
  return {
    screen: () => text,
    exit,
    async type(keys, after) {
      while (!text.includes(after, seen)) {
        const ended = await Promise.race([once(child.stdout, "data").then(() => false), exit.then(() => true)]);
        if (ended && !text.includes(after, seen)) throw new Error(`The program ended without "${after}":\n${text}`);
      }
      seen = text.length;
      child.stdin.write(keys);
    },
  };
}
