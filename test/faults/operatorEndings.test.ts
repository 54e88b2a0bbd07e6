/** Commands that revoke take effect on all running instances within a second. */
import { decodeJwt } from "jose";
import { describe, expect, test, vi } from "vitest";
import { sessionId } from "../../src/identifiers.ts";
import { refreshSecrets } from "../../src/sessions/refreshSecrets.ts";
import { createClient, registerUser, untilRejected } from "../support/client.ts";
import { runProgram, serveOn } from "../support/process.ts";
import { createDatabase, password, query, secretKey, startTestService, type TestService } from "../support/service.ts";

const latchkey = (
  databaseUrl: string,
  args: string[],
  settings: Record<string, string> = {},
  input?: string | Buffer,
) => runProgram(args, { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, ...settings }, ".", input);

/** Runs a command and expects success. @returns its output */
async function run(databaseUrl: string, args: string[], settings?: Record<string, string>, input?: string | Buffer) {
  const program = latchkey(databaseUrl, args, settings, input);
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  return program.stdout.join("\n");
}

/** Two instances on one new database, with two users with sessions. */
async function pair() {
  const here = await startTestService();
  const there = await startTestService({}, here.databaseUrl);
  for (const name of ["miguel", "susan"]) await here.register(name);
  return { here, there, miguel: await begin(here, "miguel"), susan: await begin(here, "susan") };
}
const begin = async (service: TestService, username: string) =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
const read = (service: TestService, bearer: string) => service.send("GET", "/api/resource", { bearer });
const refresh = (service: TestService, { refresh_token }: { refresh_token: string }) =>
  service.send("POST", "/api/token", { json: { refresh_token } });

/** Waits until a service rejects a token, for less than a second. */
async function expectRefused(service: TestService, bearer: string): Promise<void> {
  expect((await untilRejected(() => read(service, bearer))).problem).toBe("token-revoked");
}

describe("latchkey sessions end", { timeout: 60_000 }, () => {
  test("--all ends every session and token of all users; later ones are valid", async () => {
    const { here, there, miguel, susan } = await pair();
    const token = await here.token("susan");
    // Gives the users different epochs.
    await here.send("DELETE", "/api/sessions", { basic: ["miguel", password] });
    const again = await begin(here, "miguel");
    expect((await read(there, token)).status).toBe(200);
    expect(await run(here.databaseUrl, ["sessions", "end", "--all"])).toBe(
      "Ended 2 sessions of 2 users, and every token.",
    );

    // In the second of the command, by existing users and by a new one.
    const fresh = [await here.token("susan"), (await begin(there, "miguel")).access_token];
    await there.register("newcomer");
    fresh.push(await there.token("newcomer"));
    for (const service of [here, there]) {
      for (const bearer of [again.access_token, susan.access_token, token]) await expectRefused(service, bearer);
      for (const bearer of fresh) expect((await read(service, bearer)).status).toBe(200);
    }
    for (const tokens of [miguel, again, susan]) expect((await refresh(there, tokens)).problem).toBe("token-revoked");

    // A single revocation, however many users there are. It can be repeated.
    expect(await here.sql("SELECT 1 FROM revocations WHERE subject = 'everybody'")).toHaveLength(1);
    await run(here.databaseUrl, ["sessions", "end", "--all"]);
    for (const bearer of fresh) await expectRefused(here, bearer);
  });

  test("--all leaves no survivor among concurrent sign-ins, refreshes and registrations", async () => {
    const { here, there, miguel } = await pair();
    let isOver = false;
    const granted: { token: string; before: boolean }[] = [];
    let isEnded = false;
    const load = [here, there].map(async (service, index) => {
      let tokens = index === 0 ? miguel : await begin(service, "susan");
      for (let count = 0; !isOver; count += 1) {
        const began = !isEnded;
        const { username } = await service.register(`during-${index}-${count}`);
        granted.push({ token: await service.token(username), before: began });
        const { status, json } = await refresh(service, tokens);
        if (status === 200) granted.push({ token: json.access_token, before: began });
        tokens = status === 200 ? json : await begin(service, "susan");
      }
    });
    while (granted.length < 10) await new Promise(setImmediate);
    await run(here.databaseUrl, ["sessions", "end", "--all"]);
    isEnded = true;
    const atTheEnd = granted.length;
    while (granted.length < atTheEnd + 10) await new Promise(setImmediate);
    isOver = true;
    await Promise.all(load);
    const [row] = await here.sql("SELECT minimum_epoch FROM epoch_floor");
    for (const { token, before } of granted) {
      const isOld = Number(decodeJwt(token)["epoch"]) < Number(row?.["minimum_epoch"]);
      if (!before) expect(isOld).toBe(false);
      if (isOld) await expectRefused(there, token);
      else expect((await read(there, token)).status).toBe(200);
    }
  });

  test("--user ends those of one user, and ignores the case of the name", async () => {
    const { here, there, miguel, susan } = await pair();
    const program = latchkey(here.databaseUrl, ["sessions", "end", "--user", "Miguel"]);
    expect(await program.exit).toBe(0);
    expect(program.stdout).toEqual(["Ended 1 session of miguel, and every token."]);
    expect(JSON.parse(program.stderr[0] ?? "{}")).toMatchObject({ event: "sessions-ended", reason: "operator" });
    for (const service of [here, there]) {
      await expectRefused(service, miguel.access_token);
      expect((await read(service, susan.access_token)).status).toBe(200);
    }
    expect((await refresh(there, miguel)).problem).toBe("token-revoked");
    expect((await refresh(there, susan)).status).toBe(200);
  });

  test.each([
    [["sessions"], 64, "Which command?"],
    [["sessions", "end"], 64, "--all, or --user NAME"],
    [["sessions", "end", "--all", "--user", "miguel"], 64, "--all, or --user NAME"],
    [["sessions", "end", "--everybody"], 64, "--everybody"],
    [["sessions", "end", "miguel"], 64, "It is not a UUID"],
    [["sessions", "end", "--user", "nobody"], 69, 'no user "nobody"'],
    [["sessions", "end", "--user", "not:a name"], 69, "no user"],
    [["users", "set-password"], 64, "Missing required argument 'name'"],
    [["users", "set-password", "nobody"], 69, 'no user "nobody"'],
    [["keys", "revoke", "--all", "x"], 64, "KID, or --all"],
    [["keys", "list", "--all"], 64, "Unknown option '--all'"],
    [["users", "set-password", "miguel", "the password"], 64, "Expected 1 argument but got 2"],
  ])("%j: exit status %d", async (args, status, said) => {
    const program = latchkey(await createDatabase(), args, {}, "a sentence of words");
    expect(await program.exit).toBe(status);
    expect(program.stderr.join("\n")).toContain(said);
    expect(program.stdout).toEqual([]);
  });
});

describe("latchkey users set-password", { timeout: 60_000 }, () => {
  test("gives a compromised account back to its owner", async () => {
    const { here, there, miguel } = await pair();
    const next = "a sentence of words";
    await run(here.databaseUrl, ["users", "set-password", "MIGUEL"], {}, `${next}\n`);
    for (const service of [here, there]) await expectRefused(service, miguel.access_token);
    expect((await refresh(there, miguel)).problem).toBe("token-revoked");
    const [networks] = await here.sql(
      "SELECT count(*)::integer AS count FROM familiar_networks JOIN users ON users.id = user_id WHERE username = 'miguel'",
    );
    expect(networks?.["count"]).toBe(0);
    expect((await here.send("GET", "/api/resource", { basic: ["miguel", password] })).status).toBe(401);
    expect((await here.send("GET", "/api/resource", { basic: ["miguel", next] })).status).toBe(200);
  });

  test.each([
    ["short", "at least 15 characters"],
    ["passwordpassword", "too common"],
    ["miguel and more", "the username"],
    ["", "is empty"],
    [Buffer.from([0xff, 0xfe, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47]), "UTF-8"],
  ])("refuses %j by the policy, and changes nothing", async (given, said) => {
    const { here, miguel } = await pair();
    const program = latchkey(here.databaseUrl, ["users", "set-password", "miguel"], {}, given);
    expect(await program.exit).toBe(65);
    expect(program.stderr.join("\n")).toContain(said);
    expect((await read(here, miguel.access_token)).status).toBe(200);
  });
});

test("stolen SECRET_KEY and database: after the RUNBOOK's procedure they are useless", {
  timeout: 60_000,
}, async () => {
  const databaseUrl = await createDatabase();
  const old = serveOn(databaseUrl);
  const before = createClient(await old.url);
  await registerUser(before, { username: "miguel", password });
  const basic: [string, string] = ["miguel", password];
  const session = (await before("POST", "/api/sessions", { basic })).json;
  // The thief derives every generation of each copied session.
  const [copy] = await query(databaseUrl, "SELECT id, seed FROM sessions");
  const id = sessionId(String(copy?.["id"]));
  const stolen = [0, 1, 2, 3].map((generation) => {
    return `${id}.${refreshSecrets([secretKey]).derive(id, copy?.["seed"] as Buffer, generation)}`;
  });
  expect(stolen[0]).toBe(session.refresh_token);

  // The procedure: a new SECRET_KEY, one command, a restart.
  const changed = { SECRET_KEY: `another ${secretKey}` };
  const said = await run(databaseUrl, ["keys", "revoke", "--all"], changed);
  expect(said).toMatch(
    // The next key, too. A new one has not been published in advance.
    /^Revoked 2 signing keys\. The new one is [\w-]{43}\.\nServices that verify .*\nEnded 1 session of 1 user, and every token\.\n/,
  );
  const bearer = session.access_token;
  while ((await before("GET", "/api/resource", { bearer })).status === 200); // also rejected before the restart
  // Such an instance cannot open any key, so it signs nothing. It reads the keys separately from the revocations.
  await vi.waitUntil(async () => (await before("GET", "/api/token", { basic })).status === 503, { timeout: 2_000 });
  old.process.kill("SIGTERM");
  expect(await old.exit).toBe(0);
  const after = createClient(await serveOn(databaseUrl, changed).url);

  expect((await after("GET", "/api/resource", { bearer })).status).toBe(401);
  const use = (refresh_token: string) => after("POST", "/api/token", { json: { refresh_token } });
  for (const token of stolen) expect((await use(token)).status).toBe(401);
  // Also if the session itself was not ended.
  await query(databaseUrl, "UPDATE sessions SET user_epoch = (SELECT token_epoch FROM users)");
  for (const token of stolen) expect((await use(token)).problem).toBe("invalid-token");

  const again = (await after("POST", "/api/sessions", { basic })).json;
  expect((await after("GET", "/api/resource", { bearer: again.access_token })).status).toBe(200);
  expect((await use(again.refresh_token)).status).toBe(200);
});
