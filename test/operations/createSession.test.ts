import pg from "pg";
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  asksForThePassword,
  refusesGuessing,
  refusesOtherSites,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
await service.register("miguel");

describe("POST /api/sessions", () => {
  const request = {
    method: "POST",
    target: "/api/sessions",
    good: () => Promise.resolve({ basic: ["miguel", password] as [string, string] }),
  };

  test("201 with an access token that works and a refresh token that works", async () => {
    const answer = await service.send("POST", "/api/sessions", await request.good());
    expect(answer).toMatchObject({ status: 201, json: { token_type: "Bearer", expires_in: 600 } });
    expect(answer.header("location")).toBe(`/api/sessions/${answer.json.id}`);
    expect(answer.json.refresh_token).toMatch(new RegExp(`^${answer.json.id}\\.[\\w-]{48}$`));
    expect(answer.json.refresh_expires_in).toBeGreaterThan(14 * 86_400 - 60);
    expect((await service.send("GET", "/api/resource", { bearer: answer.json.access_token })).status).toBe(200);
    const refreshed = await service.send("POST", "/api/token", { json: { refresh_token: answer.json.refresh_token } });
    expect(refreshed.status).toBe(200);
  });

  test("the refresh token is not in the database, in no form but its digest", async () => {
    const { refresh_token } = (await service.send("POST", "/api/sessions", await request.good())).json;
    const secret = refresh_token.split(".")[1] as string;
    const rows = await service.sql("SELECT sessions::text AS text, refresh_digest FROM sessions");
    const all = rows.map(({ text }) => String(text)).join();
    for (const form of [
      secret,
      Buffer.from(secret).toString("hex"),
      Buffer.from(secret, "base64url").toString("hex"),
    ]) {
      expect(all).not.toContain(form);
    }
  });

  test("of what the client calls itself, no control characters are kept", async () => {
    const headers = { "user-agent": "red\u009b31m, bell\u0085,\ttab, \u00e9" };
    const basic: [string, string] = [(await service.register()).username, password];
    expect((await service.send("POST", "/api/sessions", { basic, headers })).status).toBe(201);
    const { json } = await service.send("GET", "/api/sessions", { basic });
    expect(json.sessions).toMatchObject([{ user_agent: "red31m, bell,tab, \u00e9" }]);
  });

  test.each([
    ["Browser/1.0 (Zoë’s Gerät; 日本語 😀)", "Browser/1.0 (Zoë’s Gerät; 日本語 😀)"],
    [`${"x".repeat(255)}😀😀`, `${"x".repeat(255)}😀`],
    ["\u009b31m in UTF-8", "31m in UTF-8"],
  ])("a User-Agent in UTF-8 is kept as it is: %s", async (sent, listed) => {
    const basic: [string, string] = [(await service.register()).username, password];
    const headers = { "user-agent": Buffer.from(sent).toString("latin1") };
    expect((await service.send("POST", "/api/sessions", { basic, headers })).status).toBe(201);
    const { json } = await service.send("GET", "/api/sessions", { basic });
    expect(json.sessions).toMatchObject([{ user_agent: listed }]);
  });

  test("401 where the password was changed between its check and the session", async () => {
    const { username } = await service.register();
    const stranger = "has-another-password";
    await service.send("POST", "/api/users", { json: { username: stranger, password: "staple horse correct" } });
    const basic: [string, string] = [username, password];
    const holder = new pg.Client(service.databaseUrl);
    await holder.connect();
    await holder.query("BEGIN");
    await holder.query("SELECT FROM users WHERE username = $1 FOR UPDATE", [username]);
    const beginning = service.send("POST", "/api/sessions", { basic });
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(waiting)).length === 0);
    await holder.query(
      `UPDATE users SET token_epoch = token_epoch + 1, password_epoch = token_epoch + 1,
         password_hash = (SELECT password_hash FROM users WHERE username = $2) WHERE username = $1`,
      [username, stranger],
    );
    await holder.query("COMMIT");
    await holder.end();
    expect(await beginning).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });

  test("401 where the user is being deleted between the check of the password and the session", async () => {
    const { id, username } = await service.register();
    const deletion = new pg.Client(service.databaseUrl);
    await deletion.connect();
    await deletion.query("BEGIN");
    await deletion.query("DELETE FROM users WHERE id = $1", [id]);
    const beginning = service.send("POST", "/api/sessions", { basic: [username, password] });
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await service.sql(waiting)).length === 0);
    await deletion.query("COMMIT");
    await deletion.end();
    expect(await beginning).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });

  refusesUnsoundRequests(service, request);
  refusesOtherSites(service, request);
  asksForThePassword(service, request);
  refusesGuessing(service, request);
  refusesUnreadableForms(service, request);
  survivesFaults(service, request);
});
