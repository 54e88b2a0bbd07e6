/** Concurrent requests of one user with the right password do not reject each other. */
import pg from "pg";
import { expect, test } from "vitest";
import { afterTest } from "../support/afterTest.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const holder = new pg.Client(service.databaseUrl);
await holder.connect();
afterTest(() => holder.end());

type Basic = [string, string];
const newUser = async (): Promise<Basic> => [(await service.register()).username, password];
const change = (basic: Basic, to: string) =>
  service.send("PUT", "/api/users/me/password", { basic, json: { current_password: basic[1], new_password: to } });
const statuses = (answers: { status: number; problem?: string | undefined }[]) =>
  answers.map(({ status, problem }) => problem ?? status);

/** Runs requests that verify the password, change the user's row, then let the requests continue. */
async function behindTheRow<Result>([username]: Basic, sql: string, requests: () => Promise<Result>[]) {
  await holder.query("BEGIN");
  await holder.query("SELECT FROM users WHERE username = $1 FOR UPDATE", [username]);
  const running = requests();
  for (;;) {
    const waiting = await service.sql(
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    if (waiting.length >= running.length) break;
  }
  if (sql) await holder.query(sql, [username]);
  await holder.query("COMMIT");
  return Promise.all(running);
}

test("each of several requests at once to end all sessions is a 204, and a sign-in beside them a 201", async () => {
  const basic = await newUser();
  for (let round = 0; round < 15; round += 1) {
    const endings = [1, 2, 3].map(() => service.send("DELETE", "/api/sessions", { basic }));
    const signIns = [1, 2].map(() => service.send("POST", "/api/sessions", { basic }));
    expect(statuses(await Promise.all(endings))).toEqual([204, 204, 204]);
    expect(statuses(await Promise.all(signIns))).toEqual([201, 201]);
  }
});

const endAll = "UPDATE users SET token_epoch = token_epoch + 1 WHERE username = $1";

test("a sign-in that waited for the end of all sessions creates a valid session", async () => {
  const basic = await newUser();
  const [session] = await behindTheRow(basic, endAll, () => [service.send("POST", "/api/sessions", { basic })]);
  expect(session?.status).toBe(201);
  const { refresh_token, access_token } = session?.json ?? {};
  expect((await service.send("GET", "/api/resource", { bearer: access_token })).status).toBe(200);
  expect((await service.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(200);
});

test("requests that waited for the end of all sessions take effect", async () => {
  const ending = await newUser();
  const end = () => [1, 2].map(() => service.send("DELETE", "/api/sessions", { basic: ending }));
  expect(statuses(await behindTheRow(ending, endAll, end))).toEqual([204, 204]);
  const changing = await newUser();
  expect(statuses(await behindTheRow(changing, endAll, () => [change(changing, "staple horse correct")]))).toEqual([
    204,
  ]);
  const [username] = changing;
  const basic: Basic = [username, "staple horse correct"];
  expect(
    statuses(await behindTheRow(basic, endAll, () => [service.send("DELETE", "/api/users/me", { basic })])),
  ).toEqual([204]);
});

test("one token that ends all sessions twice at once: both are a 204, and later sessions are valid", async () => {
  const basic = await newUser();
  const bearer = await service.token(basic[0]);
  const twice = () => [1, 2].map(() => service.send("DELETE", "/api/sessions", { bearer }));
  expect(statuses(await behindTheRow(basic, "", twice))).toEqual([204, 204]);
  expect((await service.send("GET", "/api/resource", { bearer })).problem).toBe("token-revoked");
  const [user] = await service.sql("SELECT token_epoch FROM users WHERE username = $1", [basic[0]]);
  expect(user).toEqual({ token_epoch: 1 });
});

test("a password changed to the same password is still right; another one is not", async () => {
  const basic = await newUser();
  const same = () => [1, 2].map(() => change(basic, password));
  expect(statuses(await behindTheRow(basic, "", same))).toEqual([204, 204]);
  const replaceItself = `UPDATE users SET token_epoch = token_epoch + 1, password_epoch = token_epoch + 1
    WHERE username = $1`;
  const signIn = () => [service.send("POST", "/api/sessions", { basic })];
  expect(statuses(await behindTheRow(basic, replaceItself, signIn))).toEqual([201]);
  const different = () => ["staple horse correct", "battery staple correct"].map((next) => change(basic, next));
  expect(statuses(await behindTheRow(basic, "", different)).sort()).toEqual([204, "invalid-credentials"]);
});

test("a right password that lost a race is not counted as a wrong one", async () => {
  const strict = await startTestService({ THROTTLE_ACCOUNT_ADDRESS: "3", THROTTLE_CONSECUTIVE: "20" });
  const { username } = await strict.register();
  const basic: Basic = [username, password];
  for (let round = 0; round < 4; round += 1) {
    const endings = [1, 2, 3].map(() => strict.send("DELETE", "/api/sessions", { basic }));
    expect(statuses(await Promise.all(endings))).toEqual([204, 204, 204]);
  }
});

test("several deletions at once: each is a 204, and the audit log has one", async () => {
  const basic = await newUser();
  const deletions = () => [1, 2, 3].map(() => service.send("DELETE", "/api/users/me", { basic }));
  const audited = () => service.log.filter((line) => line.includes('"user-deleted"')).length;
  const before = audited();
  expect(statuses(await behindTheRow(basic, "", deletions))).toEqual([204, 204, 204]);
  expect(audited() - before).toBe(1);
});

test("a user who registers again after a deletion can sign in; a deletion leaves the new user alone", async () => {
  const basic = await newUser();
  const [username] = basic;
  const anew = `WITH gone AS (DELETE FROM users WHERE username = $1 RETURNING password_hash)
    INSERT INTO users (id, username, password_hash) SELECT gen_random_uuid(), 'anew', password_hash FROM gone`;
  const rename = async (name: string) => service.sql("UPDATE users SET username = $1 WHERE username = 'anew'", [name]);
  const signIn = behindTheRow(basic, anew, () => [service.send("POST", "/api/sessions", { basic })]);
  expect(statuses(await signIn)).toEqual(["invalid-credentials"]); // the name is free and not taken yet
  await rename(username);
  expect((await service.send("POST", "/api/sessions", { basic })).status).toBe(201);
  const replace = `WITH old AS (UPDATE users SET username = 'old' WHERE username = $1 RETURNING *),
      new AS (INSERT INTO users (id, username, password_hash) SELECT gen_random_uuid(), 'anew', password_hash FROM old)
    SELECT 1`;
  const replaced = `DO $$ BEGIN DELETE FROM users WHERE username = 'old';
    UPDATE users SET username = '${username}' WHERE username = 'anew'; END $$`;
  const replaceUser = async (request: () => Promise<{ status: number; problem?: string | undefined }>) => {
    await holder.query("BEGIN");
    await holder.query(replace, [username]);
    const running = request();
    const isWaiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(isWaiting)).length === 0);
    await holder.query(replaced);
    await holder.query("COMMIT");
    return statuses([await running]);
  };
  expect(await replaceUser(() => service.send("POST", "/api/sessions", { basic }))).toEqual([201]);
  expect(await replaceUser(() => service.send("DELETE", "/api/users/me", { basic }))).toEqual([204]);
  expect(await service.sql("SELECT 1 FROM users WHERE username = $1", [username])).toHaveLength(1);
});
