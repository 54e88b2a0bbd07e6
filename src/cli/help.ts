import { describeSettings } from "../config/config.ts";

/** The end of what `latchkey --help` prints. */
export function programHelp(): string {
  const settings = describeSettings().map(
    ({ name, fallback, help, allowed }) =>
      `  ${name}${fallback && `=${fallback}`}\n      ${help}\n      Allowed: ${allowed}.\n`,
  );
  return `
latchkey COMMAND --help explains a command, with examples. Commands other than serve, migrate and restore can be used
while the service runs, with its settings. Run restore before the service starts: until then, restored credentials are
valid.

On a terminal, a command that lists or shows something prints a table. With --json, or if standard output is not a
terminal, it prints JSON: one object per line.

Settings (environment variables):

${settings.join("")}
Exit status: 0 success, 1 something got through (probe), 64 wrong usage, 65 unusable password or file, 69 something required is not available,
70 internal error, 78 wrong settings, 128 plus the number of a signal that forced a stop or ended a command.`;
}

/** The examples of a command, for its help. */
export const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ latchkey ${line}`).join("\n")}`;
