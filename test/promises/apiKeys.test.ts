/** API keys are limited, end everywhere within a second, and no race leaves one key or one secret too many. */
import { describe, expect, test, vi } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createKey, use } from "../support/apiKeys.ts";
import type { Received } from "../support/client.ts";
import { holdLocks, password, startTestService, type TestService } from "../support/service.ts";

const here = await startTestService({ API_KEYS_PER_USER: "5" });
const there = await startTestService({ API_KEYS_PER_USER: "5" }, here.databaseUrl);
const newUser = async () => {
  const { id, username } = await here.register();
  return { id, username, basic: [username, password] as [string, string] };
};
type User = Awaited<ReturnType<typeof newUser>>;
type Key = Awaited<ReturnType<typeof createKey>>;

/** The result of the first use that is not a 200. Fails after a second. */
async function refusedWithinASecond(service: TestService, key: string): Promise<string | number> {
  for (const began = performance.now(); ; ) {
    const result = await use(service, key);
    expect(performance.now() - began).toBeLessThan(1_000);
    if (result !== 200) return result;
  }
}

/** What an administrator or a database change does. Running instances learn of it as of every change. */
const changeUser = (id: string, change: string) =>
  here.sql(
    `WITH changed AS (UPDATE users SET ${change} WHERE id = $1 RETURNING id, token_epoch)
     INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
       SELECT id, token_epoch, now() + interval '1 hour', true FROM changed
     ON CONFLICT (subject) WHERE is_unique
       DO UPDATE SET minimum_epoch = excluded.minimum_epoch, xid = pg_current_xact_id()`,
    [id],
  );
const block = (id: string) => changeUser(id, "blocked_at = now(), token_epoch = token_epoch + 1");

const changePassword = (basic: [string, string], options: object = {}) =>
  here.send("PUT", "/api/users/me/password", {
    basic,
    json: { current_password: password, new_password: "staple horse correct", ...options },
  });
const rotate = (basic: [string, string], { id }: Key, overlap_seconds: number) =>
  here.send("POST", `/api/api-keys/${id}/rotations`, { basic, json: { overlap_seconds } });

describe("a key in use is refused here at once, and there within a second, after", () => {
  test.each<[string, (user: User, key: Key) => Promise<unknown>, string]>([
    ["its deletion", ({ basic }, { id }) => here.send("DELETE", `/api/api-keys/${id}`, { basic }), "invalid-token"],
    [
      "its revocation by a finder",
      (_, { key }) => here.send("POST", "/api/api-keys/revocations", { json: { key } }),
      "invalid-token",
    ],
    ["a rotation without an overlap", ({ basic }, key) => rotate(basic, key, 0), "invalid-token"],
    ["a change of the password", ({ basic }) => changePassword(basic), "invalid-token"],
    ["the deletion of its user", ({ basic }) => here.send("DELETE", "/api/users/me", { basic }), "invalid-token"],
  ])("%s", async (_label, end, problem) => {
    const user = await newUser();
    const key = await createKey(here, user.username);
    expect([await use(here, key.key), await use(there, key.key)]).toEqual([200, 200]);
    await end(user, key);
    expect(await use(here, key.key)).toBe(problem);
    expect(await refusedWithinASecond(there, key.key)).toBe(problem);
  });

  test("a block of its user, on both, and it is accepted again after the block", async () => {
    const user = await newUser();
    const { key } = await createKey(here, user.username);
    expect([await use(here, key), await use(there, key)]).toEqual([200, 200]);
    await block(user.id);
    expect(await refusedWithinASecond(here, key)).toBe("invalid-token");
    expect(await refusedWithinASecond(there, key)).toBe("invalid-token");
    await changeUser(user.id, "blocked_at = NULL");
    expect([await use(here, key), await use(there, key)]).toEqual([200, 200]);
  });

  test("a change of its scopes", async () => {
    const administrator = { basic: await here.administrator() };
    const { id, key } = await createKey(here, administrator, { scopes: ["users:read"] });
    const { id: userId } = (await here.send("GET", "/api/users/me", administrator)).json;
    const list = async (service: TestService) =>
      (await service.send("GET", `/api/users/${userId}/api-keys`, { bearer: key })).status;
    expect([await list(here), await list(there)]).toEqual([200, 200]);
    await here.send("PATCH", `/api/api-keys/${id}`, { ...administrator, json: { scopes: [] } });
    expect(await list(here)).toBe(403);
    await vi.waitUntil(async () => (await list(there)) === 403, { timeout: 1_000, interval: 5 });
  });
});

test("a key that expires while it is in use is refused at once", async () => {
  const { username } = await newUser();
  const service = await startTestService({}, here.databaseUrl);
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  const { key } = await createKey(service, username, { expires_at });
  expect(await use(service, key)).toBe(200);
  service.advance(3_590);
  expect(await use(service, key)).toBe(200);
  service.advance(11);
  expect(await use(service, key)).toBe("token-expired");
  await service.close();
});

test("a user's keys stay after signing out everywhere, and after a change of the password that keeps them", async () => {
  const { username, basic } = await newUser();
  const { key } = await createKey(here, username);
  expect((await here.send("DELETE", "/api/sessions", { basic })).status).toBe(204);
  expect([await use(here, key), await use(there, key)]).toEqual([200, 200]);
  expect((await changePassword(basic, { keep_api_keys: true })).status).toBe(204);
  expect([await use(here, key), await use(there, key)]).toEqual([200, 200]);
});

describe("concurrent requests", () => {
  const statusesOf = (answers: Received[]) => answers.map(({ status }) => status);

  test("1,000 creations at once respect the limit exactly", { timeout: 60_000 }, async () => {
    const { username, basic } = await newUser();
    const bearer = await here.token(username);
    const create = (n: number) =>
      (n % 2 === 0 ? here : there).send("POST", "/api/api-keys", { bearer, json: { name: `key ${n}`, scopes: [] } });
    const statuses = statusesOf(await Promise.all(Array.from({ length: 1_000 }, (_, n) => create(n))));
    // A slow machine rejects some without an attempt.
    expect(statuses.filter((status) => status !== 409 && status !== 503)).toEqual([201, 201, 201, 201, 201]);
    expect((await here.send("GET", "/api/api-keys", { basic })).json.api_keys).toHaveLength(5);
  });

  test("ten rotations at once leave two secrets", async () => {
    const { username, basic } = await newUser();
    const key = await createKey(here, username);
    const bearer = await here.token(username);
    const rotateOnce = (n: number) =>
      (n % 2 === 0 ? here : there).send("POST", `/api/api-keys/${key.id}/rotations`, {
        bearer,
        json: { overlap_seconds: 600 },
      });
    const rotated = await Promise.all(Array.from({ length: 10 }, (_, n) => rotateOnce(n)));
    expect(new Set(statusesOf(rotated))).toEqual(new Set([201]));
    const { json } = await here.send("GET", `/api/api-keys/${key.id}`, { basic });
    expect(json.secrets.map(({ expires_at }: { expires_at: string | null }) => expires_at === null)).toEqual([
      true,
      false,
    ]);
    const uses = await Promise.all([key, ...rotated.map(({ json }) => json)].map((one) => use(here, one.key)));
    expect(uses.filter((result) => result === 200)).toHaveLength(2);
  });

  test.each<[string, string, string | number]>([
    ["a block", "UPDATE users SET blocked_at = now(), token_epoch = token_epoch + 1 WHERE id = $1", 0],
    ["a deletion", "DELETE FROM users WHERE id = $1", 0],
    [
      "a change of the password",
      "UPDATE users SET token_epoch = token_epoch + 1, password_epoch = token_epoch + 1 WHERE id = $1",
      0,
    ],
    ["a sign-out of all tokens", "UPDATE users SET token_epoch = token_epoch + 1 WHERE id = $1", 0],
  ])("a key that is created with a token during %s does not exist afterwards", async (_label, change, keys) => {
    const { id, username } = await newUser();
    const bearer = await here.token(username);
    const locks = await holdLocks(here, change, [id]);
    const creation = here.send("POST", "/api/api-keys", { bearer, json: { name: "late", scopes: [] } });
    await locks.untilWaiting(1);
    await locks.commit();
    expect(await creation).toMatchObject({ status: 401, problem: "token-revoked" });
    expect(await here.sql("SELECT FROM api_keys WHERE user_id = $1", [id])).toHaveLength(Number(keys));
  });

  test("a change of the password deletes a key that was created while it waited", async () => {
    const { id, basic } = await newUser();
    const locks = await holdLocks(here, "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", [id]);
    const change = changePassword(basic);
    await locks.untilWaiting(1);
    const { text, digest } = newSecret();
    await locks.query(
      `WITH key AS (INSERT INTO api_keys (id, user_id, name, scopes) VALUES (gen_random_uuid(), $1, 'late', '{}') RETURNING id)
       INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT $2, id, 'late' FROM key`,
      [id, Buffer.from(digest, "latin1")],
    );
    await locks.commit();
    expect((await change).status).toBe(204);
    expect(await use(here, text)).toBe("invalid-token");
  });

  test("a key whose scopes are changed meanwhile is rotated only with all of them", async () => {
    const { username, basic } = await newUser();
    const key = await createKey(here, username);
    const locks = await holdLocks(here, "UPDATE api_keys SET scopes = '{users:read}' WHERE id = $1", [key.id]);
    const rotation = rotate(basic, key, 0);
    await locks.untilWaiting(1);
    await locks.commit();
    expect(await rotation).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "users:read" } });
    expect(await use(here, key.key)).toBe(200);
  });

  test("deletions and rotations of a key do not deadlock", async () => {
    const { username, basic } = await newUser();
    for (let round = 0; round < 5; round += 1) {
      const key = await createKey(here, username);
      const answers = await Promise.all([
        rotate(basic, key, 60),
        here.send("DELETE", `/api/api-keys/${key.id}`, { basic }),
        rotate(basic, key, 60),
      ]);
      for (const { status } of answers) expect([201, 204, 404]).toContain(status);
      expect(await use(here, key.key)).toBe("invalid-token");
    }
  });
});

test("the last use of each secret is recorded at the latest at shutdown: the minute, the network and the secret", async () => {
  const service = await startTestService({ TRUST_PROXY: "loopback" }, here.databaseUrl);
  const { username, basic } = await newUser();
  const key = await createKey(here, username);
  const second = (await rotate(basic, key, 600)).json;
  const from = (secret: string, address: string) =>
    service.send("GET", "/api/resource", { bearer: secret, headers: { "x-forwarded-for": address } });
  await from(second.key, "192.0.2.7");
  await from(key.key, "2001:db8::1:2:3:4");
  await service.close();
  const { secrets } = (await here.send("GET", `/api/api-keys/${key.id}`, { basic })).json;
  expect(secrets).toMatchObject([
    { last_four: second.key.slice(-4), last_used_network: "192.0.2.7" },
    { last_four: key.key.slice(-4), last_used_network: "2001:db8::/64" },
  ]);
  for (const { last_used_at } of secrets) {
    expect(Date.parse(last_used_at) % 60_000).toBe(0);
    expect(Date.now() - Date.parse(last_used_at)).toBeLessThan(120_000);
  }
});
