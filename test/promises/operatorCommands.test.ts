/** Commands that revoke, run once each. test/faults/ runs them during load, and on several instances. */
import { expect, test } from "vitest";
import { runProgram } from "../support/process.ts";
import { password, secretKey, startTestService } from "../support/service.ts";

const service = await startTestService();
const { send } = service;
for (const name of ["miguel", "susan"]) await service.register(name);
const begin = async (username: string) =>
  (await send("POST", "/api/sessions", { basic: [username, password] })).json.refresh_token as string;
const refresh = (refresh_token: string) => send("POST", "/api/token", { json: { refresh_token } });
const statusOf = async (username: string) =>
  (await send("GET", "/api/resource", { basic: [username, password] })).status;

/** Runs a command and expects success. @returns its output */
async function run(...args: string[]): Promise<string[]> {
  const program = runProgram(args, { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey });
  expect(await program.exit, program.stderr.join("\n")).toBe(0);
  return program.stdout;
}

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
  expect(await run("restore", "--end-passwords")).toContain("2 passwords: disabled.");
  for (const name of ["miguel", "susan"]) expect(await statusOf(name)).toBe(401);
  expect((await refresh(session)).problem).toBe("token-revoked");
});
