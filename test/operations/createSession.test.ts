import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const request = { basic: ["miguel", password] as [string, string] };

/** Signs in a new user with this User-Agent. Returns the sessions that are listed then. */
async function sessionsOf(userAgent: string): Promise<unknown> {
  const basic: [string, string] = [(await service.register()).username, password];
  const answer = await service.send("POST", "/api/sessions", { basic, headers: { "user-agent": userAgent } });
  expect(answer.status).toBe(201);
  return (await service.send("GET", "/api/sessions", { basic })).json.sessions;
}

describeOperation("createSession", {
  service,
  request: () => request,
  cases: {
    201: {
      "with an access token and a refresh token that work": async () => {
        const answer = await service.send("POST", "/api/sessions", request);
        expect(answer).toMatchObject({ status: 201, json: { token_type: "Bearer", expires_in: 600 } });
        expect(answer.header("location")).toBe(`/api/sessions/${answer.json.id}`);
        expect(answer.json.refresh_token).toMatch(new RegExp(`^${answer.json.id}\\.[\\w-]{48}$`));
        expect(answer.json.refresh_expires_in).toBeGreaterThan(14 * 86_400 - 60);
        expect((await service.send("GET", "/api/resource", { bearer: answer.json.access_token })).status).toBe(200);
        const { refresh_token } = answer.json;
        expect((await service.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(200);
      },
      "and stores only a digest of the refresh token": async () => {
        const { refresh_token } = (await service.send("POST", "/api/sessions", request)).json;
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
      },
      "and removes control characters from the User-Agent": async () => {
        expect(await sessionsOf("red\u009b31m, bell\u0085,\ttab, \u00e9")).toMatchObject([
          { user_agent: "red31m, bell,tab, \u00e9" },
        ]);
      },
      ...each(
        "and keeps a User-Agent in UTF-8: %s",
        [
          ["Browser/1.0 (Zoë’s Gerät; 日本語 😀)", "Browser/1.0 (Zoë’s Gerät; 日本語 😀)"],
          [`${"x".repeat(255)}😀😀`, `${"x".repeat(255)}😀`],
          ["\u009b31m in UTF-8", "31m in UTF-8"],
        ],
        async (sent, listed) => {
          expect(await sessionsOf(Buffer.from(sent).toString("latin1"))).toMatchObject([{ user_agent: listed }]);
        },
      ),
    },
    401: {
      "if the password is changed after it was verified": async () => {
        const { username } = await service.register();
        const stranger = "has-another-password";
        await service.send("POST", "/api/users", { json: { username: stranger, password: "staple horse correct" } });
        const lock = await holdLocks(service, "SELECT FROM users WHERE username = $1 FOR UPDATE", [username]);
        const signIn = service.send("POST", "/api/sessions", { basic: [username, password] });
        await lock.untilWaiting(1);
        await lock.query(
          `UPDATE users SET token_epoch = token_epoch + 1, password_epoch = token_epoch + 1,
             password_hash = (SELECT password_hash FROM users WHERE username = $2) WHERE username = $1`,
          [username, stranger],
        );
        await lock.commit();
        expect(await signIn).toMatchObject({ status: 401, problem: "invalid-credentials" });
      },
      "if the user is deleted after the password was verified": async () => {
        const { id, username } = await service.register();
        const deletion = await holdLocks(service, "DELETE FROM users WHERE id = $1", [id]);
        const signIn = service.send("POST", "/api/sessions", { basic: [username, password] });
        await deletion.untilWaiting(1);
        await deletion.commit();
        expect(await signIn).toMatchObject({ status: 401, problem: "invalid-credentials" });
      },
    },
  },
});
