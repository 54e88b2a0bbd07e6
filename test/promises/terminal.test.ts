/** What the commands print and ask on a terminal, and elsewhere. */
import { describe, expect, test } from "vitest";
import { formatTable } from "../../src/cli/table.ts";
import { runProgram } from "../support/process.ts";
import { password, secretKey, startTestService } from "../support/service.ts";
import { runOnTerminal } from "../support/terminal.ts";

const service = await startTestService();
const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
await service.register("miguel");
const statusOf = async (username: string, password: string) =>
  (await service.send("GET", "/api/resource", { basic: [username, password] })).status;

describe("signing-keys list", { timeout: 30_000 }, () => {
  test("prints a table on a terminal, as wide as the terminal, with whole ids", async () => {
    const wide = runOnTerminal(["signing-keys", "list"], settings, { columns: 130 });
    expect(await wide.exit).toBe(0);
    const [head, first = ""] = wide.screen().split("\n");
    expect(head).toMatch(/^KID +ALGORITHM +STATE +SINCE +PUBLISHED AT$/);
    expect(first).toMatch(/^[\w-]{43} +ES256 +next +\d{4}-\S+Z +\d{4}-\S+Z$/);

    const narrow = runOnTerminal(["signing-keys", "list"], settings, { columns: 60 });
    expect(await narrow.exit).toBe(0);
    const lines = narrow.screen().split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(lines[0]).toMatch(/^KID +[\w-]{43}$/);
  });

  test("prints an object of JSON per key elsewhere, and with --json", async () => {
    const piped = runProgram(["signing-keys", "list"], settings);
    expect(await piped.exit).toBe(0);
    const terminal = runOnTerminal(["signing-keys", "list", "--json"], settings);
    expect(await terminal.exit).toBe(0);
    expect(terminal.screen().trim().split("\n")).toEqual(piped.stdout);
    const keys = piped.stdout.map((line) => JSON.parse(line));
    expect(keys.map(({ state }) => state)).toEqual(["next", "signing"]);
    for (const key of keys) expect(Object.keys(key)).toEqual(["kid", "algorithm", "state", "since", "published_at"]);
  });

  test("prints lines for scripts under its former name", async () => {
    const program = runProgram(["keys", "list"], settings);
    expect(await program.exit).toBe(0);
    expect(program.stdout[0]).toMatch(/^[\w-]{43} {2}next, signs from \S+, published \S+, ES256$/);
  });
});

describe("a password", { timeout: 30_000 }, () => {
  const next = "a sentence of words";

  test("is asked for twice, and not echoed", async () => {
    const terminal = runOnTerminal(["users", "set-password", "miguel"], settings);
    await terminal.type(`${next}\r`, "Password: ");
    await terminal.type(`${next}\r`, "Password again: ");
    expect(await terminal.exit).toBe(0);
    expect(terminal.screen()).toContain("The password is set.");
    expect(terminal.screen()).not.toContain("sentence");
    expect(terminal.screen()).not.toContain('"event"'); // audit events are for programs
    expect(await statusOf("miguel", next)).toBe(200);
  });

  test("may be pasted with both answers at once", async () => {
    const terminal = runOnTerminal(["users", "set-password", "miguel"], settings);
    await terminal.type(`${password}\r${password}\r`, "Password: ");
    expect(await terminal.exit).toBe(0);
    expect(await statusOf("miguel", password)).toBe(200);
  });

  test.each([
    ["a different repetition", `${next}\r`, `${next}s\r`, "The two passwords differ.", 65],
    ["the end of the input", `${next}\r`, "\u0004", "Nothing was entered.", 65],
    ["an interrupt", `${next}\r`, "\u0003", "", 130],
  ])("is not set after %s", async (_name, first, second, said, status) => {
    const terminal = runOnTerminal(["users", "set-password", "miguel"], settings);
    await terminal.type(first, "Password: ");
    await terminal.type(second, "Password again: ");
    expect(await terminal.exit).toBe(status);
    expect(terminal.screen()).toContain(said);
    expect(await statusOf("miguel", password)).toBe(200);
  });

  test("is the first line of standard input with --password-stdin", async () => {
    const program = runProgram(
      ["users", "set-password", "miguel", "--password-stdin"],
      settings,
      ".",
      `${password}\r\nthe next line\n`,
    );
    expect(await program.exit).toBe(0);
    expect(await statusOf("miguel", password)).toBe(200);
  });
});

describe("a table", () => {
  const columns = ["id", "name", "roles", "blocked"] as const;
  const id = "0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90";

  test("shows control characters, and characters that reorder text, as escapes", () => {
    const row = { id, name: "\u001b[2Jmi\u202eguel\n\u009b1m", roles: [], blocked: false };
    const text = formatTable([row], { columns, width: 200 });
    expect(text).toContain("\\u001b[2Jmi\\u202eguel\\n\\u009b1m");
    expect(text.split("\n")).toHaveLength(3);
  });

  test("leaves optional columns out before it becomes blocks of lines, the first one first", () => {
    const row = { id, name: "miguel", created_at: "2026-11-26T11:06:01.650Z", roles: ["administrator"] };
    const headOf = (width: number) => {
      const options = {
        columns: ["id", "name", "created_at", "roles"] as const,
        optional: ["created_at", "name"],
        width,
      };
      return formatTable([row], options).split("\n")[0]?.trimEnd().split(/ {2,}/);
    };
    expect(headOf(90)).toEqual(["ID", "NAME", "CREATED AT", "ROLES"]);
    expect(headOf(80)).toEqual(["ID", "NAME", "ROLES"]);
    expect(headOf(52)).toEqual(["ID", "ROLES"]);
    expect(headOf(48)).toEqual(["ID", id]);
  });

  test.each([60, 70, 80, 100, 200])("fits %i columns, also with wide characters, and cuts no id", (width) => {
    const row = { id, name: "鍵 ".repeat(12), roles: ["administrator", "reader", "auditor"], blocked: null };
    const text = formatTable([row, { ...row, name: "miguel" }], { columns, width });
    expect(text).toContain(id);
    for (const line of text.split("\n"))
      expect([...line].length + (line.match(/鍵/g) ?? []).length).toBeLessThanOrEqual(width);
    expect(text.match(/鍵/g)).toHaveLength(12);
  });
});
