/** Runs a command, and ends with its exit status. Each command is a file of this folder, and only that one is loaded. */
import { misspelledSettings, readConfig } from "../config/config.ts";
import { exitStatus } from "../errors.ts";
import { version } from "../lib/package.ts";
import { createLog } from "../observability/log.ts";
import { exitOnUncaughtErrors } from "../process/uncaughtErrors.ts";
import { type Command, unknownCommand } from "./arguments.ts";
import { exitWithError } from "./failure.ts";
import { load } from "./loading.ts";
import { printLine } from "./output.ts";

type CommandEntry = {
  load(): Promise<Command>;
  /** The file descriptor of the log. A command that prints a result logs to standard error. */
  logTo: 1 | 2;
  /** Whether misspelled settings are logged. A worker has the environment of its primary. */
  checksSpelling: boolean;
};

const service = { logTo: 1, checksSpelling: true } as const;
const tool = { logTo: 2, checksSpelling: false } as const;

const commands: Record<string, CommandEntry> = {
  serve: { ...service, load: async () => (await import("./serve.ts")).serve },
  worker: { ...service, checksSpelling: false, load: async () => (await import("./worker.ts")).worker },
  migrate: { ...service, load: async () => (await import("./migrate.ts")).migrate },
  keys: { ...tool, load: async () => (await import("./keys.ts")).keys },
  sessions: { ...tool, load: async () => (await import("./sessions.ts")).sessions },
  users: { ...tool, load: async () => (await import("./users.ts")).users },
  restore: { ...tool, load: async () => (await import("./restore.ts")).restore },
};

/** @param args the words after the name of the program */
export async function run(args: string[]): Promise<void> {
  try {
    if (args.includes("--help") || args.includes("-h")) printLine((await import("./help.ts")).help());
    else if (args.includes("--version") || args.includes("-v")) printLine(version());
    else await runCommand(args);
  } catch (error) {
    exitWithError(error);
  }
}

async function runCommand(args: string[]): Promise<void> {
  const [name = "serve", ...rest] = args[0]?.startsWith("-") ? ["serve", ...args] : args;
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!entry) throw unknownCommand(args);
  const command = (await load(entry.load))(rest);
  const config = readConfig(process.env);
  const { log, print, dropped } = await createLog(config.logLevel, entry.logTo);
  if (entry.checksSpelling) for (const sentence of misspelledSettings(process.env)) log.warn(sentence);
  await command(config, log, {
    print,
    dropped,
    uncaughtErrors: exitOnUncaughtErrors(log, exitStatus.software),
    isNpmScript: process.env["npm_lifecycle_event"] !== undefined,
  });
}
