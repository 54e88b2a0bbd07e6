/** What a command is. The library for commands is not loaded here, because `latchkey serve` does not need it. */
import type { Command } from "@commander-js/extra-typings";
import type { Logger } from "pino";
import type { Config } from "../config/config.ts";
import { UsageError } from "../errors.ts";
import type { Log } from "../observability/log.ts";
import type { UncaughtErrorHandler } from "../process/uncaughtErrors.ts";

/** Runs a command whose arguments were parsed. */
export type Run = (config: Config, log: Logger, program: ProgramContext) => Promise<void>;

/** Reads the settings, opens the log, and runs a command. */
export type Execute = (run: Run) => Promise<void>;

/** Declares the verbs of a command, with their arguments, options, help and actions. */
export type Define = (command: Command, execute: Execute) => void;

/** A command that serves. It has operands at most. @throws {UsageError} */
export type ServiceCommand = (operands: string[]) => Run;

/** What the commands that serve need from the program. */
export type ProgramContext = Pick<Log, "print" | "dropped"> & {
  uncaughtErrors: UncaughtErrorHandler;
  /** Whether npm runs the program, as in `npm start`. */
  isNpmScript: boolean;
};

/** A wrong usage of a command, such as `users create`, whose help explains the right one. */
export const wrongUsage = (command: string, message: string) =>
  new UsageError(`${message} See latchkey ${command}${command && " "}--help.`);
