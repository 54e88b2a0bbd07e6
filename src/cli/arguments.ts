/** What a command of the command line is. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import type { Log } from "../observability/log.ts";
import type { LastResort } from "../process/uncaughtErrors.ts";

/** A command whose arguments have been read. */
export type Run = (config: Config, log: Logger, surroundings: Surroundings) => Promise<void>;

/** What a command that serves needs of its process. */
export type Surroundings = Pick<Log, "print" | "dropped"> & { lastResort: LastResort };

/** @throws {UsageError} */
export type Command = (args: string[]) => Run;

/** The arguments are wrong. Its message is for the person who typed them. */
export class UsageError extends Error {}

/** What was given (a password, a file) cannot be used. Its message is for the person who gave it. */
export class InputError extends Error {}

/** A command without arguments. */
export const plain =
  (run: Run): Command =>
  (args) => {
    if (args.length > 0) throw unknownCommand(args);
    return run;
  };

/** Repeats no more than the names of the command: what follows may be a password. */
export const unknownCommand = (args: string[]) =>
  new UsageError(
    `There is no command "${args.slice(0, 2).join(" ")}", or not with these arguments. See latchkey --help.`,
  );

type Options = NonNullable<ParseArgsConfig["options"]>;
type Arguments<Own extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Own; allowPositionals: true }>
>;

/** @throws {UsageError} */
export function readArguments<const Own extends Options>(args: string[], options: Own): Arguments<Own> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". ")[0]}. See latchkey --help.`);
  }
}

let isWatched = false;

/** Prints what a command has to say, on standard output. A reader that has read enough, as `head`, ends nothing. */
export function say(line: string): void {
  if (!isWatched) process.stdout.on("error", () => {});
  isWatched = true;
  process.stdout.write(`${line}\n`);
}

export const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
