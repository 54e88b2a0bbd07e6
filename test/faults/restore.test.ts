/** After a restore, nothing that was revoked since the backup is valid: the RUNBOOK's procedure with the real program. */
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { type Client, createClient, type Received, registerUser } from "../support/client.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { issueCode } from "../support/oauthCodes.ts";
import { type Program, runProgram, serveOn } from "../support/process.ts";
import { createDatabase, password, query, secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const changed = "a sentence of words";
const stop = async (program: Program) => {
  program.process.kill("SIGTERM");
  expect(await program.exit).toBe(0);
};
const restore = (databaseUrl: string, args: string[], settings: Record<string, string> = {}) =>
  runProgram(["restore", ...args], { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, ...settings });
const signIn = async (send: Client, username: string, secret: string) =>
  (await send("GET", "/api/resource", { basic: [username, secret] })).status;

/**
 * Creates users and sessions, makes a backup, revokes some, then restores the backup.
 * @returns the restored database, the log since the backup, and the credentials that must be rejected
 */
async function restored() {
  const original = await createDatabase();
  const first = serveOn(original);
  let send = createClient(await first.url);
  const begin = async (username: string) => (await send("POST", "/api/sessions", { basic: [username, password] })).json;
  const change = (username: string) =>
    send("PUT", "/api/users/me/password", {
      basic: [username, password],
      json: { current_password: password, new_password: changed },
    });
  for (const username of ["changer", "early", "leaver", "quiet"]) await registerUser(send, { username, password });
  const sessions = [await begin("changer"), await begin("leaver"), await begin("quiet")];
  await change("early"); // which is in the backup
  await stop(first); // a template must not be in use

  const backup = await createDatabase(new URL(original).pathname.slice(1));
  const second = serveOn(original);
  send = createClient(await second.url);
  await change("changer");
  await send("DELETE", "/api/users/me", { basic: ["leaver", password] });
  await send("DELETE", "/api/sessions", { basic: ["quiet", password] });
  const late = await begin("quiet");
  await stop(second);

  const folder = await temporaryFolder();
  const log = join(folder, "service.log");
  // As compose prints it, with other lines, and with events before the backup.
  const lines = [...first.stdout, "psql: no JSON", '{"event": broken', ...second.stdout];
  await writeFile(log, lines.map((line) => `latchkey-1  | ${line}\n`).join(""));
  return { databaseUrl: backup, log, folder, sessions, late };
}

/** No earlier token or session is accepted. */
async function expectEnded(send: Client, { sessions, late }: Awaited<ReturnType<typeof restored>>): Promise<void> {
  for (const { access_token, refresh_token } of [...sessions, late]) {
    expect((await send("GET", "/api/resource", { bearer: access_token })).status).toBe(401);
    expect((await send("POST", "/api/token", { json: { refresh_token } })).status).toBe(401);
  }
}

test("without the command everything is valid again", { timeout: 60_000 }, async () => {
  const { databaseUrl, sessions } = await restored();
  const send = createClient(await serveOn(databaseUrl).url);
  for (const { access_token, refresh_token } of sessions) {
    expect((await send("GET", "/api/resource", { bearer: access_token })).status).toBe(200);
    expect((await send("POST", "/api/token", { json: { refresh_token } })).status).toBe(200);
  }
  expect(await signIn(send, "changer", password)).toBe(200);
  expect(await signIn(send, "leaver", password)).toBe(200);
});

test("--audit-log disables passwords changed since, and deletes users deleted since", {
  timeout: 60_000,
}, async () => {
  const before = await restored();
  const { databaseUrl, log } = before;
  const program = restore(databaseUrl, ["--audit-log", log]);
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  const said = program.stdout.join("\n");
  expect(said).toMatch(/^2 signing keys: revoked\. The new one is [\w-]{43}\.$/m); // and the next one
  expect(said).toContain("3 sessions of 3 users: ended, with every token.");
  expect(said).toContain("4 familiar networks: forgotten.");
  expect(said).toMatch(/^1 deleted user: deleted again\.\n {2}leaver {2}[0-9a-f-]{36}$/m);
  expect(said).toMatch(/^1 old password: disabled\..*\n {2}changer {2}[0-9a-f-]{36}$/m);
  const events = program.stderr.map((line) => JSON.parse(line).event);
  expect(events.sort()).toEqual([
    "all-sessions-ended",
    "database-restored",
    "password-disabled",
    "signing-key-revoked",
    "signing-key-revoked",
    "user-deleted",
  ]);

  const service = serveOn(databaseUrl);
  const send = createClient(await service.url);
  await expectEnded(send, before);
  for (const secret of [password, changed, "!", ""]) expect(await signIn(send, "changer", secret)).toBe(401);
  expect(await signIn(send, "leaver", password)).toBe(401);
  expect(await signIn(send, "early", changed)).toBe(200);
  expect(await signIn(send, "quiet", password)).toBe(200);
  expect(service.stdout.join("\n")).not.toContain("not one of ours"); // no internal error, and no line for each attempt

  const way = runProgram(
    ["users", "set-password", "changer"],
    { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey },
    ".",
    changed,
  );
  expect(await way.exit).toBe(0);
  expect(await signIn(send, "changer", changed)).toBe(200);

  // Repeated: the log is the same, and the password is newer.
  const again = restore(databaseUrl, ["--audit-log", log]);
  expect(await again.exit).toBe(0);
  expect(again.stdout.join("\n")).toContain("0 old passwords: disabled");
});

test("--audit-log finds changes also after all sessions were ended", { timeout: 60_000 }, async () => {
  const { databaseUrl, log } = await restored();
  expect(await restore(databaseUrl, ["--keep-passwords"]).exit).toBe(0);
  const program = restore(databaseUrl, ["--audit-log", log]);
  expect(await program.exit).toBe(0);
  expect(program.stdout.join("\n")).toMatch(/^1 old password: disabled\..*\n {2}changer /m);
});

test("--audit-log blocks users again, takes roles away again, and leaves no secret of an API key", {
  timeout: 60_000,
}, async () => {
  const original = await createDatabase();
  const first = serveOn(original);
  let send = createClient(await first.url);
  const register = async (username: string) => (await registerUser(send, { username, password })).id;
  const basic: [string, string] = ["boss", password];
  const change = async (id: string, json: object) =>
    expect((await send("PATCH", `/api/users/${id}`, { basic, json })).status, JSON.stringify(json)).toBe(200);
  const createRole = (name: string) => send("PUT", `/api/roles/${name}`, { basic, json: { scopes: ["users:read"] } });
  const [boss, robber, guest, pardoned, demoted, promoted] = [
    await register("boss"),
    await register("robber"),
    await register("guest"),
    await register("pardoned"),
    await register("demoted"),
    await register("promoted"),
  ];
  await query(original, "INSERT INTO user_roles (user_id, role) VALUES ($1, 'administrator')", [boss]);
  await createRole("reader");
  await createRole("writer");
  await change(pardoned, { blocked: true });
  await change(demoted, { roles: ["reader", "administrator"] });
  await change(promoted, { roles: ["reader"] });
  const user: [string, string] = ["guest", password];
  const created = await send("POST", "/api/api-keys", { basic: user, json: { name: "cron", scopes: [] } });
  const { key, id: keyId } = created.json;
  expect((await send("GET", "/api/resource", { bearer: key })).status).toBe(200);
  await stop(first);

  const backup = await createDatabase(new URL(original).pathname.slice(1));
  const second = serveOn(original);
  send = createClient(await second.url);
  await createRole("late");
  await change(robber, { blocked: true });
  await change(guest, { blocked: true });
  await change(guest, { blocked: false });
  await change(pardoned, { blocked: false });
  await change(demoted, { roles: [] });
  await change(promoted, { roles: ["late", "writer", "reader"] });
  await send("DELETE", "/api/roles/writer", { basic });
  const successor = await register("successor"); // whom the backup does not contain
  await change(successor, { roles: ["administrator"] });
  const options = { basic: ["successor", password] as [string, string], json: { blocked: true } };
  expect((await send("PATCH", `/api/users/${boss}`, options)).status).toBe(200);
  await send("DELETE", `/api/api-keys/${keyId}`, { basic: user });
  await stop(second);

  // The log of the later time is the first file.
  const folder = await temporaryFolder();
  const [late, early] = [join(folder, "late.log"), join(folder, "early.log")];
  await writeFile(late, second.stdout.join("\n"));
  await writeFile(early, first.stdout.join("\n"));
  const program = restore(backup, ["--audit-log", late, early]);
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  const printed = program.stdout.join("\n");
  expect(printed).toContain("1 secret of API keys: ended.");
  expect(printed).toMatch(/^2 blocked users: blocked again\.\n {2}\w+ {2}[0-9a-f-]{36}\n {2}\w+ {2}[0-9a-f-]{36}$/m);
  expect(printed).toMatch(/^1 unblocked user: unblocked again\.\n {2}pardoned {2}[0-9a-f-]{36}$/m);
  expect(printed).toMatch(/^Roles of 1 user: as in the log\.\n {2}demoted {2}none$/m);
  expect(printed).toContain("The backup lacks roles of promoted, who does not get them: late");
  expect(printed).toContain("No administrator is left.");
  const stored = await query(backup, "SELECT event FROM audit_events WHERE details ->> 'reason' = 'restored'");
  expect(stored.map(({ event }) => event).sort()).toEqual([
    "roles-changed",
    "user-blocked",
    "user-blocked",
    "user-unblocked",
  ]);

  send = createClient(await serveOn(backup).url);
  for (const username of ["boss", "robber"]) expect(await signIn(send, username, password), username).toBe(401);
  for (const username of ["guest", "pardoned"]) expect(await signIn(send, username, password), username).toBe(200);
  const rolesOf = async (username: string) =>
    (await send("GET", "/api/users/me", { basic: [username, password] })).json.roles;
  expect(await rolesOf("demoted")).toEqual([]);
  expect(await rolesOf("promoted")).toEqual(["reader"]);
  expect((await send("GET", "/api/resource", { bearer: key })).status).toBe(401);
  const { json } = await send("GET", `/api/api-keys/${keyId}`, { basic: user });
  expect(json).toMatchObject({ name: "cron", secrets: [] });
});

test("--end-passwords disables all, --keep-passwords none; both end everything else, under any SECRET_KEY", {
  timeout: 60_000,
}, async () => {
  const before = await restored();
  const { databaseUrl } = before;
  const SECRET_KEY = `another ${secretKey}`;
  const keep = restore(databaseUrl, ["--keep-passwords"], { SECRET_KEY });
  expect(await keep.exit).toBe(0);
  expect(keep.stdout.join("\n")).toContain("valid again, as requested");
  const send = createClient(await serveOn(databaseUrl, { SECRET_KEY }).url);
  await expectEnded(send, before);
  expect(await signIn(send, "changer", password)).toBe(200);

  const end = restore(databaseUrl, ["--end-passwords"], { SECRET_KEY });
  expect(await end.exit).toBe(0);
  expect(end.stdout.join("\n")).toContain("4 passwords: disabled.");
  for (const username of ["changer", "early", "quiet"]) expect(await signIn(send, username, password)).toBe(401);
});

test("clients have no secrets, keys, grants, codes and sessions of before, and are deleted again", {
  timeout: 60_000,
}, async () => {
  const service = await startTestService();
  const { id: userId } = await service.register("miguel");
  const [kept, gone, withKeys] = [
    await insertClient(service, {
      grantTypes: ["authorization_code", "refresh_token", "client_credentials", deviceCodeGrant],
    }),
    await insertClient(service, { name: "Withdrawn", authentication: "none" }),
    await insertClient(service, { authentication: "private_key_jwt" }),
  ];
  await service.sql("UPDATE clients SET jwks = '{\"keys\":[]}' WHERE id = $1", [withKeys.id]);
  const document = "https://app.example/client.json";
  await service.sql(
    `INSERT INTO clients (id, registration, name, authentication, grant_types, document_expires_at)
     VALUES ($1, 'metadata-document', 'A document', 'none', '{}', now() + interval '1 day')`,
    [document],
  );
  const secretOf = ({ id, secret }: { id: string; secret: string }) => ({ client_id: id, client_secret: secret });
  const token = (send: Client, form: Record<string, string>) => send("POST", "/oauth/token", { form });
  const code = await issueCode(service, { clientId: kept.id, userId });
  const started = await service.send("POST", "/oauth/device-authorization", { form: secretOf(kept) });
  const { device_code } = started.json;
  const used = await issueCode(service, { clientId: kept.id, userId });
  const { access_token, refresh_token } = (await token(service.send, { ...used, ...secretOf(kept) })).json;
  const ofClient = (await token(service.send, { grant_type: "client_credentials", ...secretOf(kept) })).json;
  expect([typeof access_token, typeof refresh_token, typeof device_code, typeof ofClient.access_token]).toEqual(
    Array(4).fill("string"),
  );

  const log = join(await temporaryFolder(), "service.log");
  await writeFile(log, JSON.stringify({ event: "client-deleted", msg: "audit", clientId: gone.id }));
  const program = restore(service.databaseUrl, ["--audit-log", log]);
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  const printed = program.stdout.join("\n");
  expect(printed).toContain("1 secret of clients: ended.");
  expect(printed).toContain("The keys of 1 client: ended.");
  expect(printed).toContain("1 grant of clients: ended.");
  expect(printed).toContain("1 device code: ended.");
  expect(printed).toContain(`1 deleted client: deleted again.\n  Withdrawn  ${gone.id}`);
  const rows = await service.sql(
    "SELECT id, jwks, document_expires_at <= now() AS is_expired FROM clients ORDER BY id",
  );
  expect(rows).toEqual(
    [
      { id: kept.id, jwks: null, is_expired: null },
      { id: withKeys.id, jwks: null, is_expired: null },
      { id: document, jwks: null, is_expired: true },
    ].sort((a, b) => (a.id < b.id ? -1 : 1)),
  );
  const [event] = await service.sql("SELECT details FROM audit_events WHERE event = 'client-deleted'");
  expect(event).toEqual({ details: { client_id: gone.id, reason: "restored" } });

  const send = createClient(await serveOn(service.databaseUrl).url);
  expect((await token(send, { grant_type: "client_credentials", ...secretOf(kept) })).json.error).toBe(
    "invalid_client",
  );
  // Even a client that authenticates without what was ended gets nothing for what it has.
  await service.sql("UPDATE clients SET authentication = 'none' WHERE id = $1", [kept.id]);
  const again = createClient(await serveOn(service.databaseUrl).url);
  const client_id = kept.id;
  for (const form of [
    { ...code, client_id },
    { grant_type: "refresh_token", refresh_token, client_id },
    { grant_type: deviceCodeGrant, device_code, client_id },
  ]) {
    expect((await token(again, form)).json.error).toBe("invalid_grant");
  }
  for (const bearer of [access_token, ofClient.access_token])
    expect((await again("GET", "/api/users/me", { bearer })).status).toBe(401);
});

test.each(["--end-passwords", "--audit-log"])(
  "a sign-in that has read the password before %s disables it gets no session",
  { timeout: 60_000 },
  async (choice) => {
    const service = await startTestService();
    const { id } = await service.register("miguel");
    const folder = await temporaryFolder();
    const log = join(folder, "service.log");
    await writeFile(log, JSON.stringify({ event: "password-changed", msg: "audit", userId: id, passwordEpoch: 7 }));
    const locked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    /** @returns whether so many sessions wait for a lock before the action, which is one of them, has ended */
    const waiting = async (count: number, action: Promise<unknown>) => {
      let isOver = false;
      const end = () => {
        isOver = true;
      };
      action.then(end, end);
      for (; !isOver; await sleep(10)) if ((await service.sql(locked)).length >= count) return true;
      return false;
    };

    // The restore waits after it has raised the epochs and before it disables the password.
    const holder = new pg.Client(service.databaseUrl);
    await holder.connect();
    afterTest(() => holder.end());
    await holder.query("BEGIN");
    await holder.query("LOCK TABLE familiar_networks IN SHARE MODE");
    const start = () => restore(service.databaseUrl, choice === "--audit-log" ? [choice, log] : [choice]);
    const basic: [string, string] = ["miguel", password];
    let program = start();
    let signIn: Promise<Received>;
    // On a slow machine, one may have given up before the other one waits.
    for (;;) {
      while (!(await waiting(1, program.exit))) {
        expect(program.stderr.join("\n")).toContain("Another transaction holds a lock.");
        program = start();
      }
      // The password is still right, and the next statement waits for the user's row.
      signIn = service.send("POST", "/api/sessions", { basic });
      if (await waiting(2, signIn)) break;
      expect((await signIn).status).toBe(503);
    }
    await holder.query("COMMIT");

    // It waits for the row for a second at most.
    expect((await signIn).problem).toBeOneOf(["invalid-credentials", "database-unavailable"]);
    expect(await program.exit, program.stderr.join("\n")).toBe(0);
    expect(program.stdout.join("\n")).toMatch(/^1 (old )?password: disabled/m);
    expect((await service.send("POST", "/api/sessions", { basic })).problem).toBe("invalid-credentials");
    expect(await service.sql("SELECT FROM sessions")).toEqual([]);
  },
);

test("one of the password options is required, and the log is validated", async () => {
  const databaseUrl = await createDatabase();
  const folder = await temporaryFolder();
  const empty = join(folder, "empty.log");
  await writeFile(empty, '{"level":30,"msg":"request completed"}\n');
  for (const [args, status, said] of [
    [[], 64, "--keep-passwords"],
    [["--keep-passwords", "--end-passwords"], 64, "Choose what happens to passwords"],
    [["--audit-log", empty, "--keep-passwords"], 64, "Choose what happens to passwords"],
    [["now"], 64, "Expected 0 arguments"],
    [["--audit-log"], 64, "--audit-log"],
    [["--audit-log", join(folder, "missing")], 65, "cannot be read"],
    [["--audit-log", empty], 65, "no audit event"],
  ] as const) {
    const program = restore(databaseUrl, [...args]);
    expect(await program.exit, args.join(" ")).toBe(status);
    expect(program.stderr.join("\n")).toContain(said);
  }
  expect(await query(databaseUrl, "SELECT 1 FROM revocations")).toEqual([]);
});

test("a disabled password costs as much work as a wrong one", { timeout: 60_000 }, async () => {
  const service = await startTestService();
  await service.register("enabled");
  await service.register("disabled");
  await service.sql("UPDATE users SET password_hash = '!' WHERE username = 'disabled'");
  const workOf = async (username: string) => {
    const before = service.hashingWork();
    const answer = await service.send("GET", "/api/resource", { basic: [username, "wrong password"] });
    expect(answer.problem).toBe("invalid-credentials");
    return service.hashingWork() - before;
  };
  expect(await workOf("disabled")).toBe(await workOf("enabled"));
});

test("a copy of the embedded Postgres' data directory is restored in the same way", { timeout: 60_000 }, async () => {
  const folder = await temporaryFolder();
  const settings = (name: string) => ({ DATA_DIR: join(folder, name) });
  const first = runProgram([], settings("data"));
  let send = createClient(await first.url);
  await registerUser(send, { username: "miguel", password });
  const { access_token, refresh_token } = (await send("POST", "/api/sessions", { basic: ["miguel", password] })).json;
  await stop(first);
  await cp(join(folder, "data"), join(folder, "restored"), { recursive: true, preserveTimestamps: true });
  await rechown(join(folder, "data", "postgres"), join(folder, "restored", "postgres"));
  const program = runProgram(["restore", "--keep-passwords"], settings("restored"));
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  expect(program.stdout.join("\n")).toContain("1 session of 1 user: ended");
  send = createClient(await runProgram([], settings("restored")).url);
  expect((await send("GET", "/api/resource", { bearer: access_token })).status).toBe(401);
  expect((await send("POST", "/api/token", { json: { refresh_token } })).problem).toBe("token-revoked");
  expect(await signIn(send, "miguel", password)).toBe(200);
});

/** Under root, Postgres runs as another user, which must own the copy. */
async function rechown(from: string, to: string): Promise<void> {
  const { execFileSync } = await import("node:child_process");
  execFileSync("chown", ["-R", `--reference=${from}`, to]);
}
