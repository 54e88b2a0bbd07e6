/** `latchkey users import` and `latchkey users export`, from outside. */
import { spawn } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, query, realHashes, secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { runOnTerminal } from "../support/terminal.ts";

const ssha = "{SSHA}d51WRkKGu97OkXFu2ZXSCmerJjD8aEIN"; // of "x"
const bcrypt = "$2b$04$XsTLJ0rNDoKCfytO9IzK8etpcEtcSGA7DU7v/QFH9WmBZ5eqgt7hy"; // of 80 times "x"
const folder = await temporaryFolder();
const databaseUrl = await createDatabase();
const settings = { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey };

async function write(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

/** Runs a command to its end. `events`: the lines of the audit log. */
async function run(words: string[], { input, url = databaseUrl }: { input?: string; url?: string } = {}) {
  const program = runProgram(words, { ...settings, DATABASE_URL: url }, ".", input);
  const status = await program.exit;
  const { stdout, stderr } = program;
  const events = stderr.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return { status, stdout: stdout.join("\n"), messages: stderr.filter((line) => !line.startsWith("{")), events };
}

const users = [
  `{"username":"Susan","password_hash":"${ssha}","roles":["administrator"]}`,
  `{"username":"two words","password_hash":"${ssha}"}`,
  `{"username":"miguel","password_hash":"${bcrypt}","blocked":true}`,
  `{"username":"tom","password_hash":"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"}`,
];

describe("latchkey users import", { timeout: 90_000 }, () => {
  test("imports what it can, reports each refused line, and writes it to a file for the owner only", async () => {
    const errors = join(folder, "refused.ndjson");
    const file = await write("users.ndjson", `${users.join("\n")}\n`);
    const first = await run(["users", "import", file, "--errors", errors]);
    expect(first.status).toBe(65);
    expect(JSON.parse(first.stdout)).toEqual({ imported: 2, existing: 0, refused: 2 });
    expect(first.messages).toEqual([
      expect.stringMatching(/^Line 2: has a username that has U\+0020/),
      "Line 4: has a password_hash of an unknown form.",
      "latchkey: 2 lines were refused.",
    ]);
    expect(first.events).toEqual([
      expect.objectContaining({ event: "users-imported", imported: 2, existing: 0, refused: 2 }),
    ]);
    expect(JSON.stringify(first)).not.toMatch(/SSHA|XsTLJ0|saltsalt/);
    expect(await readFile(errors, "utf8")).toBe(`${users[1]}\n${users[3]}\n`);
    expect((await stat(errors)).mode & 0o777).toBe(0o600);

    // From standard input, in another form, and once more.
    const csv = `username,password_hash,blocked\nsusan,${ssha},\nmiguel,${bcrypt},true\n"kim",${ssha},false\n`;
    const second = await run(["users", "import", "-", "--format", "csv"], { input: csv });
    expect({ status: second.status, messages: second.messages }).toEqual({ status: 0, messages: [] });
    expect(JSON.parse(second.stdout)).toEqual({ imported: 1, existing: 2, refused: 0 });
  });

  test("lets the imported users sign in with their passwords, except a blocked one", async () => {
    const service = await startTestService(realHashes, databaseUrl);
    const signIn = (name: string, password: string) =>
      service.send("GET", "/api/resource", { basic: [name, password] }).then(({ status }) => status);
    expect(await signIn("susan", "x")).toBe(200);
    expect(await signIn("miguel", "x".repeat(80))).toBe(401);
    const hashes = await service.sql("SELECT username, password_hash FROM users ORDER BY username");
    expect(hashes).toEqual([
      { username: "kim", password_hash: ssha },
      { username: "miguel", password_hash: bcrypt },
      { username: "susan", password_hash: expect.stringMatching(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/) },
    ]);
  });

  test("--dry-run writes nothing, shows the forms, and checks known passwords", async () => {
    const url = await createDatabase();
    const file = await write("rehearsed.ndjson", `${[users[0], users[2]].join("\n")}\n`);
    const check = ["--check-password", "SUSAN", "miguel", "nobody"];
    const { status, stdout, messages, events } = await run(["users", "import", file, "--dry-run", ...check], {
      input: `x\nwrong\nx\n`,
      url,
    });
    expect(status).toBe(65);
    expect(stdout.split("\n").map((line) => JSON.parse(line))).toEqual([
      { form: "SSHA (LDAP)", users: 1, costliest: null, sign_in_ms: expect.any(Number) },
      { form: "bcrypt", users: 1, costliest: "cost 4", sign_in_ms: expect.any(Number) },
    ]);
    expect(messages).toEqual([
      "Nothing was written. 2 users would be imported. Existing: 0. Refused: 0.",
      "susan: the password matches.",
      "miguel: the password does not match.",
      "nobody: not in the file.",
      "latchkey: 2 passwords could not be confirmed.",
    ]);
    expect(events).toEqual([]);
    expect(await query(url, "SELECT FROM latchkey.users")).toEqual([]);
  });

  test("shows the progress on a terminal, and asks for the passwords to check without echo", async () => {
    const file = await write("terminal.csv", `username,password_hash\nkim,${ssha}\n`);
    const terminal = runOnTerminal(["users", "import", file, "--dry-run", "--check-password", "kim"], settings);
    await terminal.type("x\r", "Password of kim: ");
    expect(await terminal.exit).toBe(0);
    expect(terminal.screen()).toMatch(/\[#{30}\] 100 % {2}1 user/);
    expect(terminal.screen()).toMatch(/FORM +USERS +COSTLIEST +SIGN IN MS/);
    expect(terminal.screen()).toContain("kim: the password matches.");
  });

  test("can be interrupted and continued", async () => {
    const url = await createDatabase();
    const rows = Array.from({ length: 700 }, (_, n) => `{"username":"user${n}","password_hash":"${ssha}"}`);
    const child = spawn(process.execPath, ["dist/src/main.js", "users", "import", "-"], {
      env: { PATH: process.env["PATH"] ?? "", ...settings, DATABASE_URL: url },
    });
    afterTest(() => child.kill("SIGKILL"));
    let messages = "";
    child.stderr.on("data", (text) => (messages += text));
    child.stdin.write(`${rows.join("\n")}\n`);
    while ((await query(url, "SELECT FROM latchkey.users")).length < 500);
    child.kill("SIGINT");
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(130);
    expect(messages).toContain('"imported":500,"existing":0,"refused":0');
    expect(messages).toContain("Interrupted after 500 users. Repeat the command to continue.");
    const file = await write("interrupted.ndjson", rows.join("\n"));
    const { stdout } = await run(["users", "import", file], { url });
    expect(JSON.parse(stdout)).toEqual({ imported: 200, existing: 500, refused: 0 });
  });

  test.each([
    [["--check-password", "kim"], 64, /Use --check-password with --dry-run/],
    [["--dry-run", "--format", "xml"], 64, /Allowed choices are ndjson, csv/],
    [[], 65, /missing\.ndjson cannot be read \(ENOENT\)/],
  ])("with %j ends with status %d and says why", async (options, status, message) => {
    const result = await run(["users", "import", join(folder, "missing.ndjson"), ...options]);
    expect(result.status).toBe(status);
    expect(result.messages.join("\n")).toMatch(message);
  });
});

describe("latchkey users export", { timeout: 90_000 }, () => {
  let url: string;
  beforeAll(async () => {
    url = await createDatabase();
    const other = `{"username":"zoë,","password_hash":"${bcrypt}","roles":["administrator"],"blocked":false}`;
    const input = `${users[0]}\n${users[2]}\n${other}\n`;
    expect((await run(["users", "import", "-"], { input, url })).status).toBe(0);
  }, 60_000);

  test.each(["ndjson", "csv"])(
    "of %s, imported into an empty database, is exported as the same bytes",
    async (format) => {
      const [first, second] = [join(folder, `first.${format}`), join(folder, `second.${format}`)];
      const exported = await run(["users", "export", "--output", first], { url });
      expect(exported).toMatchObject({ status: 0, stdout: "" });
      expect(exported.messages).toEqual(["Exported 3 users with their password hashes: keep the export secret."]);
      expect(exported.events).toEqual([expect.objectContaining({ event: "users-exported", users: 3 })]);
      expect((await stat(first)).mode & 0o777).toBe(0o600);

      const other = await createDatabase();
      expect(await run(["users", "import", first], { url: other })).toMatchObject({ status: 0, messages: [] });
      expect(await run(["users", "export", "--output", second], { url: other })).toMatchObject({ status: 0 });
      expect(await readFile(second, "utf8")).toBe(await readFile(first, "utf8"));
      const { stdout } = await run(["users", "export", "--format", format], { url: other });
      expect(`${stdout}\n`).toBe(await readFile(first, "utf8"));
    },
  );

  test("does not replace a file", async () => {
    const file = await write("taken", "precious");
    const { status, messages } = await run(["users", "export", "--output", file]);
    expect({ status, messages }).toEqual({ status: 65, messages: [`latchkey: ${file} cannot be created (EEXIST).`] });
    expect(await readFile(file, "utf8")).toBe("precious");
  });
});
