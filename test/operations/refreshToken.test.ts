import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";
import {
  refusesOtherBodies,
  refusesOtherSites,
  refusesUnreadableForms,
  refusesUnsoundRequests,
  survivesFaults,
} from "../support/sharedCases.ts";

const service = await startTestService();
await service.register("miguel");
const begin = async (username = "miguel") =>
  (await service.send("POST", "/api/sessions", { basic: [username, password] })).json;
const refresh = (refresh_token: string) => service.send("POST", "/api/token", { json: { refresh_token } });
/** Lets time pass for one session, whose times are all the database's. */
const age = (id: string, interval: string) =>
  service.sql(
    `UPDATE sessions SET recent_rotations = ARRAY(SELECT at - $2::interval FROM unnest(recent_rotations) AS at), idle_expires_at = idle_expires_at - $2::interval,
       expires_at = expires_at - $2::interval WHERE id = $1`,
    [id, interval],
  );

describe("POST /api/token", () => {
  const request = {
    method: "POST",
    target: "/api/token",
    good: async () => ({ json: { refresh_token: (await begin()).refresh_token } }),
  };

  test("200 with the next tokens of the same session", async () => {
    const first = await begin();
    const answer = await refresh(first.refresh_token);
    expect(answer).toMatchObject({ status: 200, json: { id: first.id, token_type: "Bearer", expires_in: 600 } });
    expect(answer.json.refresh_token).not.toBe(first.refresh_token);
    expect((await service.send("GET", "/api/resource", { bearer: answer.json.access_token })).status).toBe(200);
    expect((await refresh(answer.json.refresh_token)).status).toBe(200);
  });

  refusesUnsoundRequests(service, { ...request, good: () => Promise.resolve({ json: { refresh_token: "x" } }) });
  refusesOtherSites(service, request);

  test.each([
    "rubbish",
    "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b",
    `01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.${"A".repeat(48)}`,
  ])("401 invalid-token for %s", async (text) => {
    const answer = await refresh(text);
    expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
    expect(answer.header("www-authenticate")).toContain('Bearer realm="latchkey", error="invalid_token"');
  });

  test("401 invalid-token for a guess, which does not end the session", async () => {
    const { id, refresh_token } = await begin();
    const next = (await refresh(refresh_token)).json.refresh_token;
    for (const guess of ["A".repeat(48), `AAAAA${"B".repeat(43)}`, `_____${"C".repeat(43)}`]) {
      expect(await refresh(`${id}.${guess}`)).toMatchObject({ status: 401, problem: "invalid-token" });
    }
    expect((await refresh(next)).status).toBe(200);
  });

  test("401 token-expired after two weeks of idleness, and after 90 days in any case", async () => {
    const idle = await begin();
    await age(idle.id, "13 days 23 hours");
    const { refresh_token } = (await refresh(idle.refresh_token)).json;
    await age(idle.id, "14 days");
    expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "token-expired" });

    let old = await begin();
    for (let week = 0; week < 12; week += 1) {
      await age(old.id, "7 days");
      old = (await refresh(old.refresh_token)).json;
    }
    expect(old.refresh_expires_in).toBeLessThanOrEqual(6 * 86_400);
    await age(old.id, "6 days");
    expect(await refresh(old.refresh_token)).toMatchObject({ status: 401, problem: "token-expired" });
  });

  test("no access token outlives its session, neither at a refresh nor at its repetition", async () => {
    for (const column of ["idle_expires_at", "expires_at"]) {
      const { id, refresh_token } = await begin();
      // A refresh moves the idle timeout, and is repeated with it.
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
        const { iat, exp } = JSON.parse(Buffer.from(json.access_token.split(".")[1], "base64url").toString());
        expect(exp - iat).toBe(json.expires_in);
        expect(exp).toBeLessThanOrEqual(Number(row?.["at"]) + 1);
      }
    }
  });

  test("401 token-revoked after a change of password, signing out everywhere and the end of the session", async () => {
    for (const ending of [
      (basic: [string, string], _: string) =>
        service.send("PUT", "/api/users/me/password", {
          basic,
          json: { current_password: password, new_password: "staple horse correct" },
        }),
      (basic: [string, string], _: string) => service.send("DELETE", "/api/sessions", { basic }),
      (basic: [string, string], id: string) => service.send("DELETE", `/api/sessions/${id}`, { basic }),
    ]) {
      const { username } = await service.register();
      const { id, refresh_token } = await begin(username);
      expect((await ending([username, password], id)).status).toBe(204);
      expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "token-revoked" });
    }
  });

  test("401 invalid-token after the deletion of the user", async () => {
    const { username } = await service.register();
    const { refresh_token } = await begin(username);
    await service.send("DELETE", "/api/users/me", { basic: [username, password] });
    expect(await refresh(refresh_token)).toMatchObject({ status: 401, problem: "invalid-token" });
  });

  test("401 token-reused after the grace window: the session ends, and the log says so", async () => {
    const first = await begin();
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
  });

  test("401 token-reused for a token of long ago, which nothing is stored of", async () => {
    const first = await begin();
    let last = first;
    for (let count = 0; count < 5; count += 1) last = (await refresh(last.refresh_token)).json;
    await age(first.id, "11 seconds");
    last = (await refresh(last.refresh_token)).json;
    expect(await refresh(first.refresh_token)).toMatchObject({ status: 401, problem: "token-reused" });
    expect((await refresh(last.refresh_token)).problem).toBe("token-revoked");
  });

  refusesUnreadableForms(service, request);
  refusesOtherBodies(service, request);
  survivesFaults(service, request);
});
