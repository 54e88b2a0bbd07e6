/** The help of every command. */
import { readFile } from "node:fs/promises";
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { describe, expect, test } from "vitest";
import { createProgram, runCommandLine } from "../../src/cli/commandLine.ts";
import { InputError, UsageError } from "../../src/errors.ts";
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

  const administration = all.filter(([name]) => /^(users|sessions|roles|apis|api-keys) |^audit$/.test(name));
  test.each(administration.filter(([name]) => name !== "users export"))("%s: has --json", (_name, command) => {
    expect(command.options.map(({ long }) => long)).toContain("--json");
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

describe("without a terminal", () => {
  test.each([
    [["users", "create", "miguel"], UsageError, "There is no terminal to ask for the password. Use --password-stdin."],
    [["users", "delete", "miguel"], UsageError, "There is no terminal to ask for confirmation. Use --yes."],
    [["users", "set-roles", "miguel"], UsageError, "ROLE..., or --none"],
    [["users", "list", "--limit", "0"], UsageError, "a whole number from 1"],
    [["roles", "set", "Auditor", "audit:read"], InputError, "must match pattern"],
    [["roles", "set", "auditor"], UsageError, "SCOPE..., or --none"],
    [["apis", "update", "https://orders.example.com"], UsageError, "Give at least one option"],
    [["apis", "create", "x", "--name", "X", "--scope", "x"], UsageError, "It must be NAME=DESCRIPTION"],
    [["clients", "create", "x"], UsageError, "Required option '--grant <grant>' not specified"],
    [["clients", "create", "x", "--grant", "password"], UsageError, "Allowed: authorization_code, client_credentials"],
    [["clients", "update", "x"], UsageError, "Give at least one option"],
    [["clients", "update", "x", "--clear", "name"], UsageError, "Allowed: redirect-uris"],
    [["api-keys", "create", "--user", "x", "--name", "x".repeat(65)], InputError, "name: must NOT have more than"],
    [["api-keys", "create", "--user", "x", "--name", "x", "--scope", "a b"], InputError, "scopes 0: must match"],
    [["api-keys", "create", "--user", "x", "--name", "x", "--expires-at", "soon"], UsageError, "It must be a date"],
    [["api-keys", "create", "--user", "x", "--name", "x", "--expires-at", "2027-02-30"], UsageError, "must be a date"],
    [["audit", "--since", "2027-01-01T24:00:00Z"], UsageError, "must be a date"],
    [["api-keys", "revoke", "0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90"], UsageError, "--user NAME, or --key-stdin"],
    [["audit", "--event", "everything"], UsageError, "There is no event"],
  ])("%j is rejected before anything runs", async (args, kind, said) => {
    Object.defineProperty(process.stdin, "isTTY", { value: false, configurable: true });
    const running = runCommandLine(args, () => Promise.reject(new Error("It runs.")));
    const error = await running.catch((error: unknown) => error);
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ message: expect.stringContaining(said) });
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
