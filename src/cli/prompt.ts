/** Asks a person at the terminal, or reads a password from standard input. */
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { InputError } from "../errors.ts";
import { wrongUsage } from "./arguments.ts";

/** @throws {UsageError} if the password is not on standard input and nobody can be asked for it */
export function requirePasswordSource(command: string, passwordStdin: true | undefined): void {
  if (!passwordStdin && !process.stdin.isTTY)
    throw wrongUsage(command, "There is no terminal to ask for the password. Use --password-stdin.");
}

/**
 * Asks twice for a new password, without echo. Without a terminal, reads the first line of standard input.
 * @throws {InputError} if it is entered differently the second time, or is not UTF-8
 */
export async function readNewPassword(): Promise<string> {
  if (!process.stdin.isTTY) return firstLine(await readInput());
  const [password = "", repeated] = await ask(["Password: ", "Password again: "], { echo: false });
  if (password !== repeated) throw new InputError("The two passwords differ.");
  return password;
}

const firstLine = (text: string): string => text.replace(/\r?\n.*$/s, "");

/** Asks for secrets that exist, without echo. Without a terminal, each is a line of standard input. */
export const readSecrets = async (questions: readonly string[]): Promise<string[]> =>
  process.stdin.isTTY ? ask(questions, { echo: false }) : (await readInput()).split(/\r?\n/);

/** @returns standard input without its final line break */
export async function readInput(): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await buffer(process.stdin)).replace(/\r?\n$/, "");
  } catch {
    throw new InputError("Standard input is not UTF-8.");
  }
}

/** @throws {UsageError} if the option `--yes` is missing and nobody can be asked */
export function requireConfirmation(command: string, yes: true | undefined): void {
  if (!yes && !process.stdin.isTTY)
    throw wrongUsage(command, "There is no terminal to ask for confirmation. Use --yes.");
}

/** @throws {InputError} unless the person enters `y` or `yes` */
export async function confirm(question: string): Promise<void> {
  const [answer = ""] = await ask([`${question} [y/N] `], { echo: true });
  if (!/^y(es)?$/i.test(answer.trim())) throw new InputError("Nothing was changed.");
}

/** One reader asks all questions: a paste may contain several answers. */
function ask(questions: readonly string[], { echo }: { echo: boolean }): Promise<string[]> {
  const { stdin, stderr } = process;
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: echo ? stderr : silent, terminal: true });
  const answers: string[] = [];
  const askNext = () => {
    const question = questions[answers.length] ?? "";
    lines.setPrompt(question);
    if (echo) lines.prompt();
    else stderr.write(question);
  };
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      if (!echo) stderr.write("\n");
      answers.push(line);
      if (answers.length < questions.length) return askNext();
      resolve(answers);
      lines.close();
    });
    lines.on("SIGINT", () => {
      lines.close();
      process.kill(process.pid, "SIGINT");
    });
    lines.once("close", () => reject(new InputError("Nothing was entered.")));
    askNext();
  });
}
