/** Parses the command line, and runs its command or prints help. */
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { version } from "../lib/package.ts";
import { type Run, wrongUsage } from "./arguments.ts";
import { type CommandEntry, commands, isService } from "./commands.ts";
import { examples, programHelp } from "./help.ts";
import { load } from "./loading.ts";
import { printText } from "./output.ts";

/**
 * Runs the command that the arguments name. Prints help or the version if they ask for it.
 * @throws {UsageError} if the arguments are wrong
 */
export async function runCommandLine(
  args: string[],
  execute: (entry: CommandEntry, run: Run) => Promise<void>,
): Promise<void> {
  // `latchkey help users list` is `latchkey users list --help`.
  const [first, ...rest] = args;
  const words = first === "help" ? [...rest, "--help"] : withKeyIdsLast(args);
  const program = await createProgram((name) => name === words[0], execute);
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw explain(error, program, words);
  }
}

/** @param isLoaded whether the file of a command is loaded, which declares its verbs */
export async function createProgram(
  isLoaded: (name: string) => boolean,
  execute: (entry: CommandEntry, run: Run) => Promise<void>,
): Promise<Command> {
  const program = new Command("latchkey")
    .description("Authentication service. Without a command, it serves.")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .version(version(), "-v, --version", "print the version")
    .addHelpText("after", programHelp)
    .exitOverride()
    .configureHelp({ helpWidth: process.stdout.columns || 100 })
    .configureOutput({ writeOut: printText, writeErr: () => {} });
  for (const [name, entry] of commands) {
    if (entry.isHidden && !isLoaded(name)) continue;
    const command = program.command(name, { hidden: entry.isHidden === true }).description(entry.summary);
    command.helpCommand(false);
    if (entry.examples.length > 0) command.addHelpText("after", examples(...entry.examples));
    if (isService(entry)) command.action(async () => execute(entry, (await load(entry.load))([])));
    else if (isLoaded(name)) (await load(entry.define))(command, (run) => execute(entry, run));
  }
  return program;
}

/** A key id: the thumbprint of a signing key (RFC 7638). */
const keyIdWithHyphen = /^-[\w-]{42}$/;

/** One key id in 64 begins with a hyphen. Behind `--` it is not parsed as an option. */
function withKeyIdsLast(args: string[]): string[] {
  const keyIds = args.filter((arg) => keyIdWithHyphen.test(arg));
  return keyIds.length === 0 || args.includes("--")
    ? args
    : [...args.filter((arg) => !keyIds.includes(arg)), "--", ...keyIds];
}

/** The messages of the library repeat names of commands and options only: an operand may be a password. */
function explain({ code, message }: CommanderError, program: CommandUnknownOpts, words: string[]): Error {
  const path: string[] = [];
  let command: CommandUnknownOpts = program;
  for (const word of words) {
    const next = command.commands.find((known) => known.name() === word);
    if (!next) break;
    path.push(word);
    command = next;
  }
  if (code === "commander.help")
    return wrongUsage(
      path.join(" "),
      `Which command? latchkey ${path.join(" ")} ${command.commands.map((verb) => verb.name()).join("|")}.`,
    );
  const [sentence = "", suggestion = ""] = message
    .replace(/^error: /, "")
    .replace(/ argument '.*' is invalid/s, " has a wrong value")
    .replace(/^command-argument value '.*' is invalid for (argument '\w+')/s, "$1 has a wrong value")
    .split("\n");
  const text = `${sentence.charAt(0).toUpperCase()}${sentence.slice(1).replace(/\.$/, "")}.`;
  return wrongUsage(path.join(" "), `${text}${suggestion && ` ${suggestion.replace(/^\((.*)\)$/, "$1")}`}`);
}
