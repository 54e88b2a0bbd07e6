/** What a command is, and how it reads its arguments. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { UsageError } from "../errors.ts";
import type { Log } from "../observability/log.ts";
import type { UncaughtErrorHandler } from "../process/uncaughtErrors.ts";

/** Parses its arguments. @throws {UsageError} */
export type Command = (args: string[]) => Run;

/** Runs a command whose arguments were parsed. */
export type Run = (config: Config, log: Logger, program: ProgramContext) => Promise<void>;

/** What the commands that serve need from the program. */
export type ProgramContext = Pick<Log, "print" | "dropped"> & {
  uncaughtErrors: UncaughtErrorHandler;
  /** Whether npm runs the program, as in `npm start`. */
  isNpmScript: boolean;
};

/** A command without arguments. */
export const withoutArguments =
  (run: Run): Command =>
  (args) => {
    if (args.length > 0) throw unknownCommand(args);
    return run;
  };

/** The message repeats two words at most: what follows may be a password. */
export const unknownCommand = (args: string[]) =>
  new UsageError(
    `There is no command "${args.slice(0, 2).join(" ")}", or not with these arguments. See latchkey --help.`,
  );

type Options = NonNullable<ParseArgsConfig["options"]>;
type Arguments<Own extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Own; allowPositionals: true }>
>;

/** @throws {UsageError} */
export function parseArguments<const Own extends Options>(args: string[], options: Own): Arguments<Own> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". ")[0]}. See latchkey --help.`);
  }
}
