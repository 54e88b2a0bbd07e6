/** Commands that administer users and what they have, beside a running service. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runProgram } from "../support/process.ts";
import { password, secretKey, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";
import { runOnTerminal } from "../support/terminal.ts";

const service = await startTestService();
const { send } = service;
const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };

type Outcome = { status: number | string; objects: Record<string, unknown>[]; stdout: string[]; stderr: string };

/** Runs a command. @returns what it printed */
async function run(args: string[], input?: string): Promise<Outcome> {
  const { exit, stdout, stderr } = runProgram(args, settings, ".", input);
  const status = await exit;
  const objects = stdout.flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  return { status, objects, stdout, stderr: stderr.join("\n") };
}

/** Runs a command that prints one object. */
async function object(args: string[], input?: string): Promise<Record<string, unknown>> {
  const { status, objects, stderr } = await run(args, input);
  expect(status, stderr).toBe(0);
  expect(objects).toHaveLength(1);
  return objects[0] ?? {};
}

/** Repeats a request until the running service knows a change. */
async function soon(request: () => Promise<{ status: number }>, status: number): Promise<void> {
  while ((await request()).status !== status);
}

describe("users", { timeout: 60_000 }, () => {
  test("create, list, show and delete", async () => {
    const created = await object(["users", "create", "Erin", "--password-stdin"], `${password}\n`);
    expect(created).toMatchObject({ username: "erin", blocked: false, roles: [] });
    expect((await send("GET", "/api/users/me", { basic: ["erin", password] })).json).toEqual(created);
    for (const name of ["ERIN", String(created["id"])]) expect(await object(["users", "show", name])).toEqual(created);

    for (const name of ["erik", "eric"]) await service.register(name);
    const page = await run(["users", "list", "--prefix", "ERI", "--limit", "2"]);
    expect(page.objects.map(({ username }) => username)).toEqual(["eric", "erik"]);
    expect(page.stderr).toBe("There are more. Continue with --after 'erik'.");
    expect((await run(["users", "list", "--prefix", "eri", "--after", "erik"])).objects).toEqual([created]);

    expect((await run(["users", "create", "erin", "--password-stdin"], password)).status).toBe(65);
    expect(await run(["users", "delete", "erin"])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("--yes"),
    });
    const { id: userId } = created;
    const { stdout, stderr } = await run(["users", "delete", "erin", "--yes"]);
    expect(stdout).toEqual(["Deleted the user erin."]);
    expect(await object(["users", "delete", "eric", "--yes", "--json"])).toMatchObject({ username: "eric" });
    expect(JSON.parse(stderr)).toMatchObject({ event: "user-deleted", userId, reason: "operator" });
    expect((await run(["users", "show", "erin"])).status).toBe(69);
    expect((await send("GET", "/api/users/me", { basic: ["erin", password] })).status).toBe(401);
    const [deletion] = (await run(["audit", "--user", String(userId), "--limit", "1"])).objects;
    expect(deletion).toMatchObject({ event: "user-deleted", subject: { id: userId, name: "erin" } });
  });

  test("block ends tokens, sessions and API keys at a running service; unblock accepts the password", async () => {
    const { username } = await service.register();
    const basic: [string, string] = [username, password];
    const bearer = await service.token(username);
    const { key } = await object(["api-keys", "create", "--user", username, "--name", "cron"]);
    const statuses = async () => {
      const sent = [{ basic }, { bearer }, { bearer: String(key) }];
      return Promise.all(sent.map(async (with_) => (await send("GET", "/api/resource", with_)).status));
    };
    expect(await statuses()).toEqual([200, 200, 200]);
    expect(await object(["users", "block", username])).toMatchObject({ username, blocked: true });
    await soon(async () => ({ status: Math.min(...(await statuses())) }), 401);
    const blocked = (await run(["users", "list", "--blocked"])).objects;
    expect(blocked.map((user) => user["username"])).toEqual([username]);
    expect(await object(["users", "unblock", username])).toMatchObject({ blocked: false });
    expect((await send("GET", "/api/resource", { basic })).status).toBe(200);
    expect((await send("GET", "/api/resource", { bearer })).status).toBe(401);
  });

  test("set-roles replaces the roles at a running service; the last administrator stays", async () => {
    const { username } = await service.register();
    const events = () => send("GET", "/api/audit-events", { basic: [username, password] });
    expect((await events()).status).toBe(403);
    expect(await object(["users", "set-roles", username, "administrator"])).toMatchObject({ roles: ["administrator"] });
    await soon(events, 200);
    expect((await run(["users", "list", "--role", "administrator"])).objects).toMatchObject([{ username }]);
    for (const args of [
      ["set-roles", username, "--none"],
      ["block", username],
      ["delete", username, "--yes"],
    ])
      expect(await run(["users", ...args])).toMatchObject({
        status: 65,
        stderr: "latchkey: The last administrator: Give the role administrator to another user first.",
      });
    expect((await events()).status).toBe(200);
    await object(["users", "create", "heir", "--role", "administrator", "--password-stdin"], password);
    expect(await object(["users", "set-roles", username, "--none"])).toMatchObject({ roles: [] });
    await soon(events, 403);
  });

  test("set-password reaches a blocked user, and ends API keys unless told otherwise", async () => {
    const { username } = await service.register();
    const { key } = await object(["api-keys", "create", "--user", username, "--name", "cron"]);
    const resource = () => send("GET", "/api/resource", { bearer: String(key) });
    const set = (...options: string[]) =>
      run(["users", "set-password", username, ...options], "staple horse correct\n");
    expect((await set("--keep-api-keys")).status).toBe(0);
    expect((await send("GET", "/api/resource", { basic: [username, "staple horse correct"] })).status).toBe(200);
    expect((await resource()).status).toBe(200);
    await object(["users", "block", username]);
    expect((await set()).status).toBe(0);
    await object(["users", "unblock", username]);
    await soon(resource, 401);
  });

  test("the commands of the README work on a terminal", async () => {
    const [, block = ""] =
      /## Administer users\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(await readFile("README.md", "utf8")) ?? [];
    const commands = block
      .trim()
      .split("\n")
      .map((line) => line.replace(/^npx latchkey /, "").split(" "));
    expect(commands).toHaveLength(9);
    let id = "";
    for (const command of commands) {
      const terminal = runOnTerminal(
        command.map((word) => (word === "ID" ? id : word)),
        settings,
        { columns: 120 },
      );
      if (/users create|set-password/.test(command.join(" "))) {
        await terminal.type(`${password}\r`, "Password: ");
        await terminal.type(`${password}\r`, "Password again: ");
      }
      expect(await terminal.exit, terminal.screen()).toBe(0);
      if (command[0] === "api-keys" && command[1] === "list")
        [id = ""] = /^[0-9a-f-]{36}/m.exec(terminal.screen()) ?? [];
      if (command.join(" ") === "users list")
        expect(terminal.screen()).toMatch(/^ID +USERNAME +CREATED AT +BLOCKED +ROLES$/m);
    }
  });

  test("delete asks on a terminal, and deletes after yes only", async () => {
    const { username } = await service.register();
    const refused = runOnTerminal(["users", "delete", username], settings);
    await refused.type("\r", "[y/N] ");
    expect(await refused.exit).toBe(65);
    expect(refused.screen()).toContain("Nothing was changed.");
    expect((await run(["users", "show", username])).status).toBe(0);
    const accepted = runOnTerminal(["users", "delete", username], settings);
    await accepted.type("y\r", `Delete the user ${username} (`);
    expect(await accepted.exit).toBe(0);
    expect((await run(["users", "show", username])).status).toBe(69);
  });

  test.each([
    [["create", "a b", "--password-stdin"], 65, "username: "],
    [["create", "miguel", "--role", "nobody", "--password-stdin"], 65, 'roles: there is no role "nobody"'],
    [
      ["create", "miguel", "--role", "nobody", "--role", "default", "--password-stdin"],
      65,
      "every user has the role default",
    ],
    [["show", "nobody"], 69, 'There is no user "nobody".'],
    [["block", "nobody"], 69, 'There is no user "nobody".'],
  ])("%j: exit status %d", async (args, status, said) => {
    const { stderr, ...outcome } = await run(
      ["users", ...args],
      args.includes("--password-stdin") ? password : undefined,
    );
    expect(outcome, stderr).toMatchObject({ status, stdout: [] });
    expect(stderr).toContain(said);
  });
});

test("api-keys: create, list, show, rotate, revoke by id and by text", { timeout: 60_000 }, async () => {
  const { username } = await service.register();
  const resource = (bearer: unknown) => send("GET", "/api/resource", { bearer: String(bearer) });
  const of = ["--user", username];
  const created = await object(["api-keys", "create", ...of, "--name", "cron", "--scope", "account:read"]);
  expect(created).toMatchObject({ name: "cron", scopes: ["account:read"], expires_at: null });
  expect((await resource(created["key"])).status).toBe(200);

  const id = String(created["id"]);
  const { key, ...shown } = created;
  expect(await object(["api-keys", "show", id, ...of])).toMatchObject({ id, name: "cron" });
  const [listed] = (await run(["api-keys", "list", ...of])).objects;
  expect(Object.keys(listed ?? {})).toEqual(Object.keys(shown));
  expect(JSON.stringify(listed)).not.toContain(String(key));

  const rotated = await object(["api-keys", "rotate", id, ...of]);
  expect((await resource(rotated["key"])).status).toBe(200);
  await soon(() => resource(key), 401);
  expect(await run(["api-keys", "revoke", id, ...of])).toMatchObject({ status: 0, stdout: ["Revoked the API key."] });
  await soon(() => resource(rotated["key"]), 401);
  expect(await run(["api-keys", "revoke", id, ...of])).toMatchObject({
    status: 69,
    stderr: "latchkey: Not found: The user has no API key with this id.",
  });

  const lost = await object(["api-keys", "create", ...of, "--name", "lost", "--expires-at", "2099-01-31"]);
  expect(lost["expires_at"]).toBe("2099-01-31T00:00:00.000Z");
  expect((await resource(lost["key"])).status).toBe(200);
  expect((await run(["api-keys", "revoke", "--key-stdin"], `${lost["key"]}\n`)).status).toBe(0);
  await soon(() => resource(lost["key"]), 401);
});

test("roles: set, list, show, delete, beside a running service", { timeout: 60_000 }, async () => {
  const { username } = await service.register();
  const events = () => send("GET", "/api/audit-events", { basic: [username, password] });
  expect((await events()).status).toBe(403);
  expect(await object(["roles", "set", "default", "audit:read"])).toMatchObject({
    scopes: ["audit:read"],
    built_in: true,
  });
  await soon(events, 200);
  expect(await object(["roles", "set", "default", "--none"])).toMatchObject({
    scopes: [],
    description: "The role of every user.",
  });
  await soon(events, 403);

  await object(["roles", "set", "auditor", "audit:read", "account:read", "--description", "Reads events."]);
  const auditor = { name: "auditor", scopes: ["account:read", "audit:read"], description: "Reads events." };
  expect(await object(["roles", "show", "auditor"])).toMatchObject(auditor);
  const { objects } = await run(["roles", "list"]);
  expect(objects.map(({ name }) => name)).toEqual(["administrator", "auditor", "default"]);
  expect(await run(["roles", "delete", "auditor"])).toMatchObject({
    status: 64,
    stderr: expect.stringContaining("Use --yes."),
  });
  expect(await run(["roles", "delete", "auditor", "--yes"])).toMatchObject({ stdout: ["Deleted the role auditor."] });
  expect(await run(["roles", "show", "auditor"])).toMatchObject({
    status: 69,
    stderr: "latchkey: Not found: There is no role auditor.",
  });
});

test("apis: create, list, show, update, delete, beside a running service", { timeout: 60_000 }, async () => {
  const { username } = await service.register();
  const audience = "https://orders.example.com";
  const token = () =>
    send("GET", `/api/token?audience=${encodeURIComponent(audience)}`, { basic: [username, password] });
  expect((await token()).problem).toBe("invalid-target");
  const scopes = [{ name: "orders:read", description: "See = read orders." }];
  const given = ["--name", "Orders", "--scope", "orders:read=See = read orders.", "--token-lifetime", "60"];
  const created = await object(["apis", "create", audience, ...given]);
  expect(created).toMatchObject({ audience, name: "Orders", scopes, token_lifetime_seconds: 60 });
  await soon(token, 200);
  const updated = await object(["apis", "update", audience, "--token-lifetime", "30"]);
  expect(updated).toMatchObject({ name: "Orders", scopes, token_lifetime_seconds: 30 });
  expect(await object(["apis", "show", audience])).toEqual(updated);
  expect((await run(["apis", "list"])).objects).toEqual([updated]);
  const folder = await temporaryFolder();
  const [file, wrong] = [join(folder, "openapi.yaml"), join(folder, "wrong.yaml")];
  const openapi = `openapi: 3.1.0
paths: { /orders: { get: { security: [{ token: ['orders:read'] }] } } }
components: { securitySchemes: { token: { type: http, scheme: bearer } } }
`;
  await writeFile(file, openapi);
  await writeFile(wrong, openapi.replace("orders:read", "orders:delete"));
  expect(await object(["apis", "update", audience, "--contract", file])).toMatchObject({ has_contract: true });
  const refused = await run(["apis", "update", audience, "--contract", wrong]);
  expect(refused).toMatchObject({
    status: 65,
    stderr: expect.stringContaining("contract: the contract requires orders:delete"),
  });
  const unreadable = await run(["apis", "update", audience, "--contract", join(folder, "nowhere.yaml")]);
  expect(unreadable).toMatchObject({ status: 65, stderr: expect.stringContaining("nowhere.yaml cannot be read") });
  expect(await object(["apis", "update", audience, "--remove-contract"])).toEqual({
    ...updated,
    updated_at: expect.any(String),
  });
  expect((await run(["apis", "delete", audience, "--yes"])).status).toBe(0);
  await soon(token, 400);
});

test("clients: create, list, show, update, rotate-secret, end-secret, delete", { timeout: 60_000 }, async () => {
  const administrator = await service.administrator();
  const inService = async (id: unknown) => (await send("GET", `/api/clients/${id}`, { basic: administrator })).json;
  const created = await object([
    ...["clients", "create", "Report", "--grant", "client_credentials", "--grant", "device_code"],
    ...["--scope", "users:read", "--scope", "roles:read", "--json"],
  ]);
  expect(created).toEqual({
    client_id: expect.stringMatching(/^lkc_[0-9a-f]{32}$/),
    client_secret: expect.stringMatching(/^lks_[0-9A-Za-z]{49}$/),
  });
  const id = String(created["client_id"]);
  const shown = await object(["clients", "show", id]);
  expect(shown).toMatchObject({
    grant_types: ["client_credentials", "urn:ietf:params:oauth:grant-type:device_code"],
    scopes: ["users:read", "roles:read"],
    secrets: [{ last_used_at: null }],
  });
  expect(shown).toEqual(await inService(id));

  const redirectUri = "com.example.app:/callback";
  const app = ["App", "--public", "--grant", "authorization_code", "--redirect-uri", redirectUri, "--first-party"];
  const second = await object(["clients", "create", ...app]);
  expect(second).toEqual({ client_id: expect.any(String) });
  expect((await run(["clients", "list"])).objects).toMatchObject([
    shown,
    { redirect_uris: [redirectUri], first_party: true },
  ]);
  const appId = String(second["client_id"]);
  expect(await object(["clients", "update", appId, "--no-first-party", "--name", "Application"])).toMatchObject({
    name: "Application",
    first_party: false,
    redirect_uris: [redirectUri],
  });

  expect(await object(["clients", "update", id, "--clear", "scopes"])).toMatchObject({ name: "Report", scopes: [] });
  const rotated = await run(["clients", "rotate-secret", id]);
  expect(rotated.objects[0]).toMatchObject({ client_id: id, client_secret: expect.stringMatching(/^lks_/) });
  expect(rotated.objects[0]?.["client_secret"]).not.toBe(created["client_secret"]);
  const [, { id: previous, last_four }] = (await inService(id)).secrets;
  expect(rotated.stderr).toContain(`The previous secret is …${last_four}, last used never.`);
  expect(rotated.stderr).toContain(`latchkey clients end-secret ${id} ${previous}`);
  const full = await run(["clients", "rotate-secret", id]);
  expect(full).toMatchObject({ status: 65, stderr: expect.stringContaining("The client has two secrets") });
  expect((await run(["clients", "end-secret", id, previous])).stdout).toEqual(["Ended the secret."]);
  await run(["clients", "rotate-secret", id]);
  const last = await object(["clients", "rotate-secret", id, "--end-previous"]);
  expect((await inService(id)).secrets).toMatchObject([{ id: last["secret_id"] }]);

  expect(await run(["clients", "delete", id])).toMatchObject({ status: 64 });
  expect((await run(["clients", "delete", id, "--yes"])).stdout).toEqual([`Deleted the client ${id}.`]);
  expect((await run(["clients", "show", id])).status).toBe(69);
});

test.each([
  [["roles", "set", "auditor", "everything"], 65, "scopes: everything is not a scope"],
  [["roles", "set", "administrator", "--none"], 65, "administrator has every scope"],
  [["roles", "delete", "default", "--yes"], 65, "default cannot be deleted"],
  [["apis", "create", "x", "--name", "X", "--scope", "audit:read=x"], 65, "audit:read is a scope of this service"],
  [["clients", "create", "x", "--grant", "client_credentials", "--public"], 65, "which a public client cannot use"],
  [
    ["clients", "create", "x", "--grant", "client_credentials", "--jwks", "nowhere.json"],
    65,
    "nowhere.json cannot be read",
  ],
  [["clients", "show", "nobody"], 69, "Not found"],
  [["api-keys", "create", "--user", "nobody", "--name", "cron"], 69, 'There is no user "nobody".'],
  [["api-keys", "revoke", "--key-stdin"], 65, "key: is not an API key"],
])("%j: exit status %d", { timeout: 30_000 }, async (args, status, said) => {
  const outcome = await run(args, "a text that is no key\n");
  expect(outcome).toMatchObject({ status, stdout: [], stderr: expect.stringContaining(said) });
});

test("api-keys create grants no unknown scope", { timeout: 30_000 }, async () => {
  const { username } = await service.register();
  const outcome = await run(["api-keys", "create", "--user", username, "--name", "x", "--scope", "everything"]);
  expect(outcome).toMatchObject({ status: 65, stderr: expect.stringContaining("scopes: everything is not a scope") });
  expect(await send("GET", "/api/api-keys", { basic: [username, password] })).toMatchObject({ json: { api_keys: [] } });
});
