import { decodeJwt } from "jose";
import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const signIn = async (username = "miguel") =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
const refresh = (refresh_token: string) => service.send("POST", "/api/token", { json: { refresh_token } });
/** Moves all times of a session into the past: the database's clock decides on them. */
const age = (id: string, interval: string) =>
  service.sql(
    `UPDATE sessions SET recent_rotations = ARRAY(SELECT at - $2::interval FROM unnest(recent_rotations) AS at),
       idle_expires_at = idle_expires_at - $2::interval, expires_at = expires_at - $2::interval WHERE id = $1`,
    [id, interval],
  );

describeOperation("refreshToken", {
  service,
  request: async () => ({ json: { refresh_token: (await signIn()).refresh_token } }),
  cases: {
    200: {
      "with the next tokens of the same session": async () => {
        const first = await signIn();
        const answer = await refresh(first.refresh_token);
        expect(answer).toMatchObject({ status: 200, json: { id: first.id, token_type: "Bearer", expires_in: 600 } });
        expect(answer.json.refresh_token).not.toBe(first.refresh_token);
        expect((await service.send("GET", "/api/resource", { bearer: answer.json.access_token })).status).toBe(200);
        expect((await refresh(answer.json.refresh_token)).status).toBe(200);
      },
      "with an access token that expires with its session at the latest, also when the refresh is repeated":
        async () => {
          for (const column of ["idle_expires_at", "expires_at"]) {
            const { id, refresh_token } = await signIn();
            // A refresh extends the idle timeout; only its repetition can find a shortened one.
            const shorten = `UPDATE sessions SET ${column} = now() + interval '100 seconds' WHERE id = $1
            RETURNING extract(epoch FROM ${column})::float8 AS at`;
            if (column === "expires_at") await service.sql(shorten, [id]);
            else await refresh(refresh_token);
            const [row] = await service.sql(shorten, [id]);
            const answers = [await refresh(refresh_token)];
            if (column === "expires_at") answers.push(await refresh(refresh_token));
            for (const { status, json } of answers) {
              expect(status).toBe(200);
              expect(json.expires_in).toBeGreaterThan(80);
              expect(json.expires_in).toBeLessThanOrEqual(100);
              const { iat, exp } = decodeJwt(json.access_token);
              expect(Number(exp) - Number(iat)).toBe(json.expires_in);
              expect(exp).toBeLessThanOrEqual(Number(row?.["at"]) + 1);
            }
          }
        },
    },
    401: {
      ...each(
        "invalid-token for %s",
        [
          ["rubbish"],
          ["01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"],
          [`01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.${"A".repeat(48)}`],
        ],
        async (text) => {
          const answer = await refresh(text);
          expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
          expect(answer.header("www-authenticate")).toContain('Bearer realm="latchkey", error="invalid_token"');
        },
      ),
      "invalid-token for a guessed secret, which does not end the session": async () => {
        const { id, refresh_token } = await signIn();
        const next = (await refresh(refresh_token)).json.refresh_token;
        // An instance that has not served the session reads it first.
        const other = await startTestService({}, service.databaseUrl);
        for (const guess of ["A".repeat(48), `AAAAA${"B".repeat(43)}`, `_____${"C".repeat(43)}`]) {
          for (const { send } of [service, other]) {
            const json = { refresh_token: `${id}.${guess}` };
            expect(await send("POST", "/api/token", { json })).toMatchObject({ status: 401, problem: "invalid-token" });
          }
        }
        expect((await refresh(next)).status).toBe(200);
      },
      "invalid-token after the user was deleted": async () => {
        const { username } = await service.register();
        const { refresh_token } = await signIn(username);
        await service.send("DELETE", "/api/users/me", { basic: [username, password] });
        expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "invalid-token" });
      },
      "token-expired after two weeks without a refresh, and after 90 days in any case": async () => {
        const idle = await signIn();
        await age(idle.id, "13 days 23 hours");
        const { refresh_token } = (await refresh(idle.refresh_token)).json;
        await age(idle.id, "14 days");
        expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "token-expired" });

        let old = await signIn();
        for (let week = 0; week < 12; week += 1) {
          await age(old.id, "7 days");
          old = (await refresh(old.refresh_token)).json;
        }
        expect(old.refresh_expires_in).toBeLessThanOrEqual(6 * 86_400);
        await age(old.id, "6 days");
        expect(await refresh(old.refresh_token)).toMatchObject({ status: 401, problem: "token-expired" });
      },
      ...each<[string, (basic: [string, string], id: string) => ReturnType<typeof service.send>]>(
        "token-revoked after %s",
        [
          [
            "a change of the password",
            (basic) => {
              const json = { current_password: password, new_password: "staple horse correct" };
              return service.send("PUT", "/api/users/me/password", { basic, json });
            },
          ],
          ["the end of all sessions", (basic) => service.send("DELETE", "/api/sessions", { basic })],
          ["the end of the session", (basic, id) => service.send("DELETE", `/api/sessions/${id}`, { basic })],
        ],
        async (_label, end) => {
          const { username } = await service.register();
          const { id, refresh_token } = await signIn(username);
          expect((await end([username, password], id)).status).toBe(204);
          expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "token-revoked" });
        },
      ),
      "token-reused for a used token after the grace period, which ends the session and is logged": async () => {
        const first = await signIn();
        const second = (await refresh(first.refresh_token)).json;
        await age(first.id, "11 seconds");
        const answer = await refresh(first.refresh_token);
        expect(answer).toMatchObject({ status: 401, problem: "token-reused" });
        expect(answer.header("www-authenticate")).toContain('error_description="The token was used before"');
        expect(service.log.some((line) => line.includes("refresh-token-reused") && line.includes(first.id))).toBe(true);
        expect((await refresh(second.refresh_token)).problem).toBe("token-revoked");
        for (const { access_token } of [first, second]) {
          expect((await service.send("GET", "/api/resource", { bearer: access_token })).problem).toBe("token-revoked");
        }
      },
      "token-reused for a token so old that nothing is stored about it": async () => {
        const first = await signIn();
        let last = first;
        for (let count = 0; count < 5; count += 1) last = (await refresh(last.refresh_token)).json;
        await age(first.id, "11 seconds");
        last = (await refresh(last.refresh_token)).json;
        expect(await refresh(first.refresh_token)).toMatchObject({ status: 401, problem: "token-reused" });
        expect((await refresh(last.refresh_token)).problem).toBe("token-revoked");
      },
    },
  },
});
