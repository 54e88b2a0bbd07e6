/** Commands that revoke, run once each. test/faults/ runs them during load, and on several instances. */
import { expect, test } from "vitest";
import { runProgram } from "../support/process.ts";
import { password, secretKey, startTestService } from "../support/service.ts";

const service = await startTestService();
const { send } = service;
const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
for (const name of ["miguel", "susan"]) await service.register(name);
const begin = async (username: string) =>
  (await send("POST", "/api/sessions", { basic: [username, password] })).json.refresh_token as string;
const refresh = (refresh_token: string) => send("POST", "/api/token", { json: { refresh_token } });
const statusOf = async (username: string) =>
  (await send("GET", "/api/resource", { basic: [username, password] })).status;

/** Runs a command and expects success. @returns its output */
async function run(...args: string[]): Promise<string[]> {
  const program = runProgram(args, settings);
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  return program.stdout;
}

/** Events are stored within a second. */
async function untilStored<Item>(read: () => Promise<Item[]>, count: number): Promise<Item[]> {
  const found = await read();
  return found.length >= count ? found : untilStored(read, count);
}

/** Runs a command that lists. @returns the objects that it prints */
async function list(...args: string[]): Promise<Record<string, unknown>[]> {
  return (await run(...args)).map((line) => JSON.parse(line));
}

test("sessions list has the live sessions of a user, page by page, and says when there are more", async () => {
  const tokens = [await begin("susan"), await begin("susan"), await begin("susan")];
  const all = await list("sessions", "list", "--user", "susan");
  expect(all).toHaveLength(3);
  expect(all.map(({ id }) => id)).toEqual(
    all
      .map(({ id }) => id)
      .sort()
      .reverse(),
  );
  expect(all[0]).toMatchObject({ address: "127.0.0.1", expires_at: expect.stringMatching(/Z$/) });
  const program = runProgram(["sessions", "list", "--user", "susan", "--limit", "2"], settings);
  expect(await program.exit).toBe(0);
  expect(program.stdout.map((line) => JSON.parse(line))).toEqual(all.slice(0, 2));
  expect(program.stderr).toEqual([`There are more. Continue with --after '${all[1]?.["id"]}'.`]);
  expect(await list("sessions", "list", "--user", "susan", "--after", String(all[1]?.["id"]))).toEqual(all.slice(2));

  expect(await run("sessions", "end", String(all[0]?.["id"]))).toEqual(["Ended the session, and every token of it."]);
  expect((await refresh(tokens[2] ?? "")).problem).toBe("token-revoked");
  expect((await refresh(tokens[0] ?? "")).status).toBe(200);
  expect((await list("sessions", "list", "--user", "susan")).map(({ id }) => id)).toEqual(
    all.slice(1).map(({ id }) => id),
  );
  const again = runProgram(["sessions", "end", String(all[0]?.["id"])], settings);
  expect(await again.exit).toBe(69);
});

test("audit lists events about a user, by event and by request, page by page, newest first", async () => {
  const { id, username } = await service.register("auditor");
  const refused = await send("GET", "/api/resource", { basic: [username, "a wrong password"] });
  const requestId = refused.header("x-request-id") ?? "";
  await untilStored(async () => service.sql("SELECT FROM audit_events WHERE request_id = $1", [requestId]), 1);
  await run("users", "sign-out", username);
  const events = await list("audit", "--user", username);
  expect(events.map(({ event }) => event)).toEqual(["sessions-ended", "password-refused", "user-registered"]);
  expect(events[0]).toMatchObject({
    subject: { id, name: username },
    actor: { id: null, name: expect.stringMatching(/^command line \(.+\)$/) },
    details: { reason: "operator" },
  });
  expect(await list("audit", "--request-id", requestId)).toEqual([events[1]]);
  expect(await list("audit", "--user", id, "--event", "user-registered")).toEqual([events[2]]);
  expect(await list("audit", "--user", id, "--since", String(events[1]?.["occurred_at"]))).toEqual(events.slice(0, 2));
  expect(await list("audit", "--user", id, "--since", "2999-01-01")).toEqual([]);
  const program = runProgram(["audit", "--user", id, "--limit", "1"], settings);
  expect(await program.exit).toBe(0);
  expect(program.stderr).toEqual([`There are more. Continue with --after '${events[0]?.["id"]}'.`]);
  expect(await list("audit", "--user", id, "--after", String(events[0]?.["id"]))).toEqual(events.slice(1));
});

test("users sign-out ends the sessions of a user, and names who did it in the audit log", async () => {
  const session = await begin("susan");
  const program = runProgram(["users", "sign-out", "susan"], settings);
  expect(await program.exit).toBe(0);
  expect((await refresh(session)).problem).toBe("token-revoked");
  const [event] = program.stderr.map((line) => JSON.parse(line));
  expect(event).toMatchObject({
    event: "sessions-ended",
    reason: "operator",
    actor: expect.stringMatching(/^command line \(.+\)$/),
  });
});

test("sessions end --user ends the sessions of that user, not of others, and keeps the password", async () => {
  const [miguel, susan] = [await begin("miguel"), await begin("susan")];
  expect(await run("sessions", "end", "--user", "Miguel")).toEqual(["Ended 1 session of miguel, and every token."]);
  expect((await refresh(miguel)).problem).toBe("token-revoked");
  expect((await refresh(susan)).status).toBe(200);
  expect(await statusOf("miguel")).toBe(200);
});

test("restore --end-passwords disables every password, and ends every session", async () => {
  const session = await begin("susan");
  expect(await statusOf("miguel")).toBe(200);
  expect(await run("restore", "--end-passwords")).toContain("3 passwords: disabled.");
  for (const name of ["miguel", "susan"]) expect(await statusOf(name)).toBe(401);
  expect((await refresh(session)).problem).toBe("token-revoked");
});
