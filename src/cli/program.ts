/** Runs a command, and ends with its exit status. */
import { misspelledSettings, readConfig } from "../config/config.ts";
import { exitStatus } from "../errors.ts";
import { createLog } from "../observability/log.ts";
import { exitOnUncaughtErrors } from "../process/uncaughtErrors.ts";
import type { Run } from "./arguments.ts";
import { type CommandEntry, commands, isService } from "./commands.ts";
import { exitWithError } from "./failure.ts";
import { load } from "./loading.ts";

/** @param args the words after the name of the program */
export async function run(args: string[]): Promise<void> {
  try {
    const [name = "serve", ...operands] = args;
    const entry = commands.get(name);
    const hasOptions = operands.some((operand) => operand.startsWith("-"));
    if (entry && isService(entry) && operands.length === entry.operands && !hasOptions)
      await execute(entry, (await load(entry.load))(operands));
    else await (await load(() => import("./commandLine.ts"))).runCommandLine(args, execute);
  } catch (error) {
    exitWithError(error);
  }
}

async function execute(entry: CommandEntry, run: Run): Promise<void> {
  const config = readConfig(process.env);
  const { log, print, dropped } = await createLog(config.logLevel, entry.logTo);
  if (entry.checksSpelling) for (const sentence of misspelledSettings(process.env)) log.warn(sentence);
  await run(config, log, {
    print,
    dropped,
    uncaughtErrors: exitOnUncaughtErrors(log, exitStatus.software),
    isNpmScript: process.env["npm_lifecycle_event"] !== undefined,
  });
}
