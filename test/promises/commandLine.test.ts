/** The program from outside: start, refusal to start, stop, and what it stores. */
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, inject, test } from "vitest";
import { describeSettings } from "../../src/config/config.ts";
import { createClient, registerUser } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

// Started first: this program tries to connect for ten seconds, while the other tests run.
const startedMs = performance.now();
const withoutDatabase = runProgram([], {
  DATABASE_URL: "postgres://u:hunter4@127.0.0.1:1/x",
  SECRET_KEY: secretKey,
});
const withoutDatabaseMs = withoutDatabase.exit.then(() => performance.now() - startedMs);

const dataFolder = async () => join(await temporaryFolder(0o755), "data");

describe("latchkey", { timeout: 60_000 }, () => {
  test("--help describes every setting, --version is package.json's", async () => {
    const help = runProgram(["--help"], {});
    expect(await help.exit).toBe(0);
    for (const { name, help: text } of describeSettings()) {
      expect(help.stdout.join("\n")).toContain(name);
      expect(help.stdout.join("\n")).toContain(text);
    }
    const version = runProgram(["--version"], {});
    expect(await version.exit).toBe(0);
    expect(version.stdout[0]).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test.each([
    [["dance"], "Unknown command 'dance'. See latchkey --help."],
    [["serve", "twice"], "Expected 0 arguments but got 1. See latchkey serve --help."],
    [["--surprise"], "Unknown option '--surprise'. See latchkey --help."],
    [["__proto__"], "Unknown command '__proto__'. See latchkey --help."],
    [["worker", "1"], "Only the service runs workers"],
    [["user", "unlock", "miguel"], "Did you mean users? See latchkey --help."],
    [["users", "unlok", "miguel"], "Unknown command 'unlok'. Did you mean unlock? See latchkey users --help."],
    [["sessions", "end", "--usr", "miguel"], "Did you mean --user? See latchkey sessions end --help."],
    [["users"], "Which command? latchkey users "],
  ])("%j is a wrong usage: exit status 64, and a hint", async (args, hint) => {
    const program = runProgram(args, {});
    expect(await program.exit).toBe(64);
    expect(program.stderr.join("\n")).toContain(hint);
    expect(program.stdout).toEqual([]);
  });

  test.each([
    [["users", "set-password", "miguel", "hunter2"], "Too many arguments"],
    [
      ["sessions", "end", "hunter2"],
      "Argument 'id' has a wrong value. It is not a UUID. See latchkey sessions end --help",
    ],
    [["sessions", "list", "--user", "miguel", "--limit", "hunter2"], "Option '--limit <number>' has a wrong value."],
  ])("%j: a wrong usage does not repeat what may be a secret", async (args, said) => {
    const program = runProgram(args, {});
    expect(await program.exit).toBe(64);
    expect(program.stderr.join("\n")).toContain(said);
    expect(program.stderr.join("\n")).not.toMatch(/miguel|hunter2/);
  });

  test("wrong settings: exit status 78, each named, no secret repeated", async () => {
    const program = runProgram([], {
      PORT: "eighty",
      SECRET_KEY: "hunter2",
      DATABASE_URL: "mysql://root:hunter3@db/x",
    });
    expect(await program.exit).toBe(78);
    const said = program.stderr.join("\n");
    expect(said).toContain('PORT: "eighty" is not allowed. Allowed: a whole number from 0 to 65535.');
    expect(said).toContain("SECRET_KEY");
    expect(said).toContain("DATABASE_URL");
    expect(said).not.toContain("hunter");
  });

  test("DATABASE_URL without SECRET_KEY: exit status 78, and how to make one", async () => {
    const program = runProgram([], { DATABASE_URL: await createDatabase() });
    expect(await program.exit).toBe(78);
    expect(program.stderr.join("\n")).toMatch(/SECRET_KEY is missing.*randomBytes\(32\)/);
  });

  test("a port in use: exit status 69 and a sentence", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { port: number };
    const DATA_DIR = await dataFolder();
    for (const database of [{ DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey }, { DATA_DIR }]) {
      const program = runProgram([], { ...database, PORT: String(port) });
      expect(await program.exit).toBe(69);
      expect(program.stderr).toEqual([expect.stringContaining(`PORT ${port}`)]);
    }
    other.close();
    await expect(stat(DATA_DIR)).rejects.toThrow("ENOENT"); // no database was made
  });

  test("a database that does not respond: exit status 69 within 15 s and a sentence", async () => {
    expect(await withoutDatabase.exit).toBe(69);
    expect(await withoutDatabaseMs).toBeLessThan(15_000);
    expect(withoutDatabase.stderr).toEqual([expect.stringContaining("DATABASE_URL")]);
    expect([...withoutDatabase.stdout, ...withoutDatabase.stderr].join("\n")).not.toContain("hunter4");
  });

  test.each([
    [
      "a role that may not create tables",
      async () => (await createDatabase("template0")).replace(/\/\/\w+@/, "//latchkey_visitor@"),
      /The database lacks \d+ migrations, which this role may not apply \(permission denied .*\)\. Run latchkey migrate/,
    ],
    [
      "a database that does not exist",
      async () => `${await createDatabase()}_not`,
      /The database of DATABASE_URL cannot be used: /,
    ],
    [
      "a server without TLS where TLS is asked for",
      async () => `${await createDatabase()}?sslmode=verify-full`,
      /The database of DATABASE_URL cannot be used: /,
    ],
  ])("%s: exit status 69 at once, in a sentence", async (_name, createUrl, sentence) => {
    const admin = new pg.Client(inject("postgres"));
    await admin.connect();
    await admin.query(
      "DO $$ BEGIN CREATE ROLE latchkey_visitor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    await admin.end();
    const DATABASE_URL = await createUrl();
    const started = performance.now();
    const program = runProgram([], { DATABASE_URL, SECRET_KEY: secretKey });
    expect(await program.exit).toBe(69);
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(program.stderr).toEqual([expect.stringMatching(sentence)]);
  });

  test("a command creates no embedded database", async () => {
    const DATA_DIR = await dataFolder();
    const program = runProgram(["keys", "list"], { DATA_DIR });
    expect(await program.exit).toBe(69);
    expect(program.stderr).toEqual([expect.stringContaining(`There is no database in ${DATA_DIR}.`)]);
    await expect(stat(DATA_DIR)).rejects.toThrow("ENOENT");
  });

  test("serve loads neither the library for commands nor the one for tables", async () => {
    const folder = await temporaryFolder();
    const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, NODE_V8_COVERAGE: folder };
    const program = runProgram(["serve"], settings);
    await program.url;
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
    const files = await readdir(folder);
    const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
    const loaded = texts.flatMap((text) => JSON.parse(text).result as { url: string }[]).map(({ url }) => url);
    expect(loaded).toContainEqual(expect.stringContaining("node_modules/express/"));
    expect(loaded.filter((url) => /node_modules\/(@commander-js|commander|table|string-width)\//.test(url))).toEqual(
      [],
    );
  });

  test("SIGUSR1 opens no debugger", async () => {
    const program = runProgram([], { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey });
    const send = createClient(await program.url);
    program.process.kill("SIGUSR1");
    for (let count = 0; count < 20; count += 1) expect((await send("GET", "/livez")).status).toBe(200);
    program.process.kill("SIGTERM");
    expect(await program.exit).toBe(0);
    expect(program.stderr).toEqual([]);
  });

  test("migrate migrates, and says when there was nothing to do", async () => {
    const settings = { DATABASE_URL: await createDatabase("template0"), SECRET_KEY: secretKey };
    const first = runProgram(["migrate"], settings);
    expect(await first.exit).toBe(0);
    expect(first.stdout.join("\n")).toContain("0001-users");
    const second = runProgram(["migrate"], settings);
    expect(await second.exit).toBe(0);
    expect(second.stdout.join("\n")).toContain("was up to date");
  });
});

describe("without any setting, latchkey", { timeout: 60_000 }, () => {
  test("keeps users and keys across a restart; only its owner can read its secret key", async () => {
    const DATA_DIR = await dataFolder();
    const first = runProgram([], { DATA_DIR });
    const send = createClient(await first.url);
    await registerUser(send, { username: "miguel", password });
    const { token } = (await send("GET", "/api/token", { basic: ["miguel", password] })).json;
    first.process.kill("SIGTERM");
    expect(await first.exit).toBe(0);
    expect((await stat(join(DATA_DIR, "secret-key"))).mode & 0o777).toBe(0o600);
    expect(first.stderr).toEqual([]);

    const second = runProgram([], { DATA_DIR });
    const answer = await createClient(await second.url)("GET", "/api/resource", { bearer: token });
    expect(answer).toMatchObject({ status: 200, json: { data: "Hello, miguel!" } });
    second.process.kill("SIGINT");
    expect(await second.exit).toBe(0);
  });

  test("restarts at once after a kill during writes, with every acknowledged user", async () => {
    const settings = { DATA_DIR: await dataFolder(), THROTTLE: "off", PASSWORD_BLOCKLIST: "off" };
    const first = runProgram([], settings);
    const send = createClient(await first.url);
    const acknowledged: string[] = [];
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let count = 0; count < 500; count += 1) {
        const username = `user-${writer}-${count}`;
        const answer = await send("POST", "/api/users", { json: { username, password } }).catch(() => undefined);
        if (!answer) return;
        if (answer.status === 201) acknowledged.push(username);
        if (acknowledged.length === 60) first.process.kill("SIGKILL");
      }
    });
    await Promise.all(writers);
    expect(await first.exit).toBe("SIGKILL");
    expect(acknowledged.length).toBeGreaterThanOrEqual(60);

    const second = runProgram([], settings);
    const again = createClient(await second.url);
    for (const username of acknowledged) {
      const answer = await again("POST", "/api/users", { json: { username, password } });
      expect(answer.status, username).toBe(409);
    }
    second.process.kill("SIGTERM");
    expect(await second.exit).toBe(0);
  });

  test.each([
    ["was emptied", (file: string) => writeFile(file, "")],
    ["can be read by others", (file: string) => chmod(file, 0o644)],
  ])("refuses a secret key that %s: exit status 78", async (_name, spoil) => {
    const DATA_DIR = await dataFolder();
    const first = runProgram([], { DATA_DIR });
    await first.url;
    first.process.kill("SIGTERM");
    await first.exit;
    await spoil(join(DATA_DIR, "secret-key"));
    const second = runProgram([], { DATA_DIR });
    expect(await second.exit).toBe(78);
    expect(second.stderr.join("\n")).toContain("secret-key");
  });

  test("refuses a second instance on the same data, without affecting the first", async () => {
    const DATA_DIR = await dataFolder();
    const first = runProgram([], { DATA_DIR });
    const send = createClient(await first.url);
    const second = runProgram([], { DATA_DIR });
    expect(await second.exit).toBe(69);
    expect(second.stderr.join("\n")).toContain("in use");
    expect((await send("GET", "/readyz")).status).toBe(200);
    first.process.kill("SIGTERM");
    expect(await first.exit).toBe(0);
  });

  test("stops with exit status 69 when its Postgres is killed", async () => {
    const DATA_DIR = await dataFolder();
    const program = runProgram([], { DATA_DIR });
    await program.url;
    const [postmaster] = (await readFile(join(DATA_DIR, "postgres", "postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(postmaster), "SIGKILL");
    expect(await program.exit).toBe(69);
    expect(program.stdout.join("\n")).toContain("Postgres ended");
  });
});
