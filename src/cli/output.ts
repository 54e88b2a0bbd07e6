/** What a command prints on standard output. */

let ignoresErrors = false;

/** Prints a line. A reader that stops reading, such as `head`, does not end the command. */
export function printLine(line: string): void {
  if (!ignoresErrors) process.stdout.on("error", () => {});
  ignoresErrors = true;
  process.stdout.write(`${line}\n`);
}

/** @returns such as `1 session` and `2 sessions` */
export const counted = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
