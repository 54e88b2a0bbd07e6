/** The help of every command. */
import { readFile } from "node:fs/promises";
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { describe, expect, test } from "vitest";
import { createProgram } from "../../src/cli/commandLine.ts";
import { runProgram } from "../support/process.ts";

/** The whole program. It parses, and runs nothing. */
const whole = () =>
  createProgram(
    () => true,
    async () => {},
  );

function helpOf(command: CommandUnknownOpts): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

function* commandsBelow(command: CommandUnknownOpts, path = ""): Generator<[string, CommandUnknownOpts]> {
  for (const below of command.commands) {
    const name = `${path}${below.name()}`;
    yield [name, below];
    yield* commandsBelow(below, `${name} `);
  }
}

const all = [...commandsBelow(await whole())].filter(([name]) => name !== "worker");

describe("latchkey COMMAND --help", () => {
  test.each(all)("%s: says what it does, explains each argument and option, and has examples", (_name, command) => {
    expect(command.description()).toMatch(/^[A-Z][^\n]*\.$/);
    for (const { description } of [...command.registeredArguments, ...command.options])
      expect(description).not.toBe("");
    expect(helpOf(command)).toContain("\nExamples:\n  $ latchkey ");
  });

  test.each(all)("%s: the examples are valid", async (_name, command) => {
    // Some commands require a terminal or an option.
    Object.defineProperty(process.stdin, "isTTY", { value: true, configurable: true });
    for (const [, example = ""] of helpOf(command).matchAll(/^ {2}\$ latchkey (.*)$/gm)) {
      const words = example.replace(/ [<|>] .*$/, "").match(/"[^"]*"|\S+/g) ?? [];
      const program = await whole();
      await program.parseAsync(
        words.map((word) => word.replaceAll('"', "")),
        { from: "user" },
      );
    }
  });
});

test("docs/command-line.md lists every command", async () => {
  const chapter = await readFile("docs/command-line.md", "utf8");
  const verbs = all.filter(([name, { commands }]) => commands.length === 0 && !name.startsWith("keys "));
  for (const [name] of verbs)
    expect(chapter).toMatch(new RegExp(`^\\| \`latchkey ${name}(\`| [^|]*\`) \\| [^|]+ \\|$`, "m"));
});

test("latchkey help COMMAND is latchkey COMMAND --help", { timeout: 30_000 }, async () => {
  const [first, second] = [runProgram(["help", "sessions", "end"], {}), runProgram(["sessions", "end", "--help"], {})];
  for (const program of [first, second]) expect(await program.exit).toBe(0);
  expect(first.stdout).toEqual(second.stdout);
  expect(first.stdout.join("\n")).toContain("Usage: latchkey sessions end");
});
