/** What a command prints: results on standard output, messages on standard error. */
import { once } from "node:events";

let ignoresErrors = false;

/**
 * Prints text on standard output, and waits until it is written. A reader that stops reading, such as `head`, does not end the
 * command.
 * @returns whether something still reads
 */
export async function printText(text: string): Promise<boolean> {
  const { stdout } = process;
  if (!ignoresErrors) stdout.on("error", () => {});
  ignoresErrors = true;
  if (!stdout.write(escapeControls(text)) && !stdout.destroyed)
    await Promise.race([once(stdout, "drain"), once(stdout, "close")]).catch(() => {});
  return !stdout.destroyed;
}

/** Prints a line on standard output. */
export const printLine = (line: string): void => void printText(`${line}\n`);

/** Prints a line for people on standard error. */
export const printMessage = (line: string): void => void process.stderr.write(`${escapeControls(line)}\n`);

/** @returns such as `1 session` and `2 sessions` */
export const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/**
 * Control characters except the line feed, and characters that reorder or hide text: a name or a user agent must not control the
 * terminal or look like another one.
 */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** @returns the text with unsafe characters as in JSON, such as `\u001b` */
export const escapeControls = (text: string): string =>
  text.replace(unsafe, (character) =>
    character === "\n"
      ? character
      : character
          .split("")
          .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
          .join(""),
  );
