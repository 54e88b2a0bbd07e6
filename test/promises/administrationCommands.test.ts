/** Commands that administer users and what they have, beside a running service. */
import { expect, test } from "vitest";
import { runProgram } from "../support/process.ts";
import { password, secretKey, startTestService } from "../support/service.ts";

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
  expect((await run(["api-keys", "revoke", id, ...of])).status).toBe(69);

  const lost = await object(["api-keys", "create", ...of, "--name", "lost", "--expires-at", "2099-01-31"]);
  expect(lost["expires_at"]).toBe("2099-01-31T00:00:00.000Z");
  expect((await resource(lost["key"])).status).toBe(200);
  expect((await run(["api-keys", "revoke", "--key-stdin"], `${lost["key"]}\n`)).status).toBe(0);
  await soon(() => resource(lost["key"]), 401);
});

test.each([
  [["api-keys", "create", "--user", "nobody", "--name", "cron"], 69, 'There is no user "nobody".'],
  [["api-keys", "create", "--user", "nobody", "--name", "x".repeat(65)], 65, "name: must NOT have more than"],
  [["api-keys", "create", "--user", "nobody", "--name", "x", "--scope", "a b"], 65, "scopes 0: must match pattern"],
  [["api-keys", "create", "--user", "nobody", "--name", "x", "--expires-at", "tomorrow"], 64, "It must be a date"],
  [["api-keys", "revoke", "0199f3a2-7c1b-7aa0-9b3e-2f6d1c5e8a90"], 64, "ID --user NAME, or --key-stdin"],
  [["api-keys", "revoke", "--key-stdin"], 65, "key: is not an API key"],
])("%j: exit status %d", { timeout: 30_000 }, async (args, status, said) => {
  const outcome = await run(args, "a text that is no key\n");
  expect(outcome).toMatchObject({ status, stdout: [], stderr: expect.stringContaining(said) });
});

test("api-keys create grants no unknown scope", { timeout: 30_000 }, async () => {
  const { username } = await service.register();
  const outcome = await run(["api-keys", "create", "--user", username, "--name", "x", "--scope", "everything"]);
  expect(outcome).toMatchObject({ status: 65, stderr: expect.stringContaining("scopes: is not a scope") });
  expect(await send("GET", "/api/api-keys", { basic: [username, password] })).toMatchObject({ json: { api_keys: [] } });
});
