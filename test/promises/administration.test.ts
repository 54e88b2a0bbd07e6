/** Administrators cannot undo each other's work by accident, exceed their own rights, or lock everyone out. */
import { describe, expect, test } from "vitest";
import { scopes as ownScopes } from "../../generated/scopes.ts";
import { isOfEveryUser, type Rights } from "../../src/access/rights.ts";
import { keyId, storedUsername, tokenId, userId } from "../../src/identifiers.ts";
import { type Networks, unknownNetwork } from "../../src/networks.ts";
import type { TokenPrincipal } from "../../src/principal.ts";
import { actorOf, missingScopes } from "../../src/users/administration/actor.ts";
import type { Role } from "../../src/users/administration/storeTypes.ts";
import { holdLocks, password, startTestService, type TestService } from "../support/service.ts";

const one = await startTestService();
const other = await startTestService({}, one.databaseUrl);
const administrator = await one.administrator();

const credentialsOf = ({ username }: { username: string }): [string, string] => [username, password];
const patch = (id: string, json: object, { at = one, basic = administrator, headers = {} } = {}) =>
  at.send("PATCH", `/api/users/${id}`, { basic, json, headers });
const get = (sent: object, { at = one, target = "/api/resource" } = {}) => at.send("GET", target, sent);
const statusesOf = (answers: { status: number }[]) => answers.map(({ status }) => status).sort();

/** Creates a role, and a user who has it. */
async function registerWith(role: string, scopes: string[]): Promise<{ id: string; basic: [string, string] }> {
  await one.sql("INSERT INTO roles (name, scopes) VALUES ($1, $2) ON CONFLICT DO NOTHING", [role, scopes]);
  const { id, username } = await one.register();
  await one.sql("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)", [id, role]);
  return { id, basic: [username, password] };
}

/** Waits until an instance rejects the request. Fails after a second. */
async function untilRejected(at: TestService, sent: object, target = "/api/resource"): Promise<void> {
  const startedMs = performance.now();
  while ((await get(sent, { at, target })).status < 300) {
    expect(performance.now() - startedMs).toBeLessThan(1000);
  }
}

describe("concurrent changes", () => {
  test.each([
    ["take the role from each other", (id: string) => ["PATCH", `/api/users/${id}`, { roles: [] }] as const],
    ["block each other", (id: string) => ["PATCH", `/api/users/${id}`, { blocked: true }] as const],
    ["delete each other", (id: string) => ["DELETE", `/api/users/${id}`, undefined] as const],
  ])("of two administrators who %s, one succeeds", async (_what, change) => {
    const services = [await startTestService()];
    services.push(await startTestService({}, services[0]?.databaseUrl));
    const [first, second] = services as [TestService, TestService];
    const names = [await first.administrator("first"), await first.administrator("second")];
    const ids = await Promise.all(
      names.map(async (basic) => (await first.send("GET", "/api/users/me", { basic })).json.id as string),
    );
    const lock = await holdLocks(first, "SELECT 1 FROM roles WHERE name = $1 FOR UPDATE", ["administrator"]);
    const changes = services.map((service, index) => {
      const [method, target, json] = change(ids[1 - index] as string);
      return service.send(method, target, { basic: names[index] as [string, string], json });
    });
    await lock.untilWaiting(2);
    await lock.commit();
    const answers = await Promise.all(changes);
    expect(answers.filter(({ status }) => status < 300)).toHaveLength(1);
    expect(answers.filter(({ problem }) => problem === "last-administrator")).toHaveLength(1);
    const left = await first.sql(
      "SELECT 1 FROM users JOIN user_roles ON user_id = id WHERE role = 'administrator' AND blocked_at IS NULL",
    );
    expect(left).toHaveLength(1);
    await Promise.all([second.close(), first.close()]);
  });

  test("with one ETag: one of twenty, on two instances, succeeds", async () => {
    const { id } = await one.register();
    const bearer = await one.token("administrator");
    const etag = (await get({ bearer }, { target: `/api/users/${id}` })).header("etag") ?? "";
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? one : other).send("PATCH", `/api/users/${id}`, {
          bearer,
          json: { blocked: true },
          headers: { "if-match": etag },
        }),
      ),
    );
    expect(statusesOf(answers)).toEqual([200, ...Array.from({ length: 19 }, () => 412)]);
  });

  test("without If-Match, or with *, all succeed, and the last roles are complete", async () => {
    const { id } = await one.register();
    const roles = ["red", "green", "blue"];
    for (const role of roles) await one.sql("INSERT INTO roles (name) VALUES ($1)", [role]);
    const lock = await holdLocks(one, "SELECT 1 FROM users WHERE id = $1 FOR UPDATE", [id]);
    const changes = roles.map((role, index) =>
      patch(id, { roles: [role] }, { at: index === 0 ? one : other, headers: index === 1 ? { "if-match": "*" } : {} }),
    );
    await lock.untilWaiting(3);
    await lock.commit();
    const answers = await Promise.all(changes);
    expect(statusesOf(answers)).toEqual([200, 200, 200]);
    for (const { json } of answers) expect(json.roles).toHaveLength(1);
    const last = answers.find(({ headers }) => headers["etag"]?.[0] === '"4.1"');
    expect((await get({ basic: administrator }, { target: `/api/users/${id}` })).json).toEqual(last?.json);
  });
});

describe("a blocked user", () => {
  test("has no valid credentials on any instance within a second, and unblocking restores only the password", async () => {
    const user = await one.register();
    const basic = credentialsOf(user);
    await one.sql("INSERT INTO api_keys (id, user_id, name, scopes) VALUES ($1, $1, 'cron', '{}')", [user.id]);
    const token = await one.token(user.username);
    const session = (await one.send("POST", "/api/sessions", { basic })).json;
    const bearers = [token, session.access_token];
    for (const bearer of bearers) expect((await get({ bearer }, { at: other })).status).toBe(200);
    expect((await patch(user.id, { blocked: true })).json.blocked).toBe(true);
    const refuse = async () => {
      for (const bearer of bearers) {
        expect(await get({ bearer })).toMatchObject({ status: 401, problem: "token-revoked" });
        await untilRejected(other, { bearer });
      }
      const { refresh_token } = session;
      for (const at of [one, other]) {
        expect((await at.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(401);
      }
      expect(await one.sql("SELECT 1 FROM api_keys WHERE user_id = $1", [user.id])).toEqual([]);
    };
    await refuse();
    for (const at of [one, other]) {
      const refused = await get({ basic }, { at });
      const unknown = await get({ basic: ["nobody-at-all", password] }, { at });
      expect(refused).toMatchObject({ status: 401, problem: "invalid-credentials" });
      expect({ ...refused.json, instance: "" }).toEqual({ ...unknown.json, instance: "" });
    }
    await patch(user.id, { blocked: false });
    await refuse();
    expect((await get({ basic }, { at: other })).status).toBe(200);
  });

  test("is blocked once: the second time changes neither the time nor the ETag", async () => {
    const { id } = await one.register();
    const first = await patch(id, { blocked: true });
    const before = await one.sql("SELECT * FROM users WHERE id = $1", [id]);
    const again = await patch(id, { blocked: true }, { at: other });
    expect(again.json).toEqual(first.json);
    expect(again.header("etag")).toBe(first.header("etag"));
    expect(await one.sql("SELECT * FROM users WHERE id = $1", [id])).toEqual(before);
    const events = [...one.log, ...other.log].filter((line) => line.includes('"user-blocked"') && line.includes(id));
    expect(events).toHaveLength(1);
  });

  test.each([["first"], ["second"]])(
    "keeps no session of a sign-in that waited for the same row as the %s",
    async (order) => {
      const user = await one.register();
      const basic = credentialsOf(user);
      const bearer = await one.token("administrator");
      const block = () => one.send("PATCH", `/api/users/${user.id}`, { bearer, json: { blocked: true } });
      const signIn = () => other.send("POST", "/api/sessions", { basic });
      const lock = await holdLocks(one, "SELECT 1 FROM users WHERE id = $1 FOR UPDATE", [user.id]);
      // The sign-in has verified the password when it waits for the row.
      const [first, second] = order === "first" ? [signIn, block] : [block, signIn];
      const answers = [first()];
      await lock.untilWaiting(1);
      answers.push(second());
      await lock.untilWaiting(2);
      await lock.commit();
      const [blocked, session] =
        order === "first" ? (await Promise.all(answers)).reverse() : await Promise.all(answers);
      expect(blocked?.status).toBe(200);
      expect(session?.status).toBe(order === "first" ? 201 : 401);
      if (session?.status !== 201) return;
      await untilRejected(other, { bearer: session.json.access_token });
      const { refresh_token } = session.json;
      expect((await other.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(401);
    },
  );

  test("keeps no token of a sign-in or refresh at the same time", async () => {
    const bearer = await one.token("administrator");
    for (let round = 0; round < 5; round += 1) {
      const user = await one.register();
      const basic = credentialsOf(user);
      let { refresh_token } = (await one.send("POST", "/api/sessions", { basic })).json;
      const tokens: string[] = [];
      const signIn = async () => {
        const answer = await other.send("GET", "/api/token", { basic });
        if (answer.status === 200) tokens.push(answer.json.token);
      };
      const refresh = async () => {
        const answer = await other.send("POST", "/api/token", { json: { refresh_token } });
        if (answer.status !== 200) return;
        ({ refresh_token } = answer.json);
        tokens.push(answer.json.access_token);
      };
      const block = () => one.send("PATCH", `/api/users/${user.id}`, { bearer, json: { blocked: true } });
      const [, , blocked] = await Promise.all([signIn(), refresh(), block()]);
      expect(blocked.status).toBe(200);
      for (const token of tokens) await untilRejected(other, { bearer: token });
      expect((await other.send("POST", "/api/token", { json: { refresh_token } })).status).toBe(401);
    }
  });

  test("stays blocked if a concurrent change assigns a role", async () => {
    const user = await one.register();
    const token = await one.token(user.username);
    const bearer = await one.token("administrator");
    const change = (at: TestService, json: object) => at.send("PATCH", `/api/users/${user.id}`, { bearer, json });
    const answers = await Promise.all([change(one, { blocked: true }), change(other, { roles: ["administrator"] })]);
    expect(statusesOf(answers)).toEqual([200, 200]);
    expect((await get({ basic: administrator }, { target: `/api/users/${user.id}` })).json).toMatchObject({
      blocked: true,
      roles: ["administrator"],
    });
    for (const at of [one, other]) await untilRejected(at, { bearer: token }, "/api/users");
    await patch(user.id, { roles: [] });
  });
});

describe("rights", () => {
  test("a role that is taken away is gone on every instance within a second, for an old token", async () => {
    const former = await one.administrator("former");
    const bearer = await one.token("former");
    const { id } = (await get({ basic: former }, { target: "/api/users/me" })).json;
    for (const at of [one, other]) expect((await get({ bearer }, { at, target: "/api/users" })).status).toBe(200);
    expect((await patch(id, { roles: [] })).json.roles).toEqual([]);
    expect((await get({ bearer }, { target: "/api/users" })).status).toBe(403);
    await untilRejected(other, { bearer }, "/api/users");
    expect((await get({ bearer }, { at: other })).status).toBe(200);
  });

  test("nobody administers a user who has more rights, and the problem names what is missing", async () => {
    const helper = await registerWith("helpdesk", ["users:write"]);
    const boss = (await get({ basic: administrator }, { target: "/api/users/me" })).json;
    const session = (await one.send("POST", "/api/sessions", { basic: administrator })).json;
    const { basic } = helper;
    const json = { new_password: "staple horse correct" };
    const attempts = (id: string, sessionId: string) => [
      patch(id, { blocked: true }, { basic }),
      one.send("PUT", `/api/users/${id}/password`, { basic, json }),
      one.send("DELETE", `/api/users/${id}/sessions/${sessionId}`, { basic }),
      one.send("DELETE", `/api/users/${id}/sessions`, { basic }),
      one.send("DELETE", `/api/users/${id}`, { basic }),
    ];
    for (const answer of await Promise.all(attempts(boss.id, session.id))) {
      expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
      const scopes = answer.json.scope.split(" ");
      expect(scopes).toContain("users:read");
      expect(scopes).not.toContain("users:write");
    }
    expect((await get({ bearer: session.access_token })).status).toBe(200);
    const auditor = await registerWith("auditor", ["orders:audit"]);
    for (const answer of await Promise.all(attempts(auditor.id, session.id))) {
      expect(answer).toMatchObject({ status: 403, json: { scope: "orders:audit" } });
    }
    // A colleague with the same rights, and a user without roles.
    const colleague = await registerWith("helpdesk", []);
    expect((await patch(colleague.id, { blocked: true }, { basic })).status).toBe(200);
    const { id } = await one.register();
    const answers = [];
    for (const attempt of attempts(id, session.id)) answers.push((await attempt).status);
    expect(answers.filter((status) => status === 403)).toEqual([]);
  });

  test("nobody assigns a role without roles:write, or with scopes that they do not have", async () => {
    const { basic } = await registerWith("helpdesk", ["users:write"]);
    const { id } = await one.register();
    const create = (roles: string[], by: [string, string]) =>
      one.send("POST", "/api/users", { basic: by, json: { username: `created-${roles.join("-")}`, password, roles } });
    for (const roles of [["helpdesk"], ["administrator"]]) {
      for (const answer of [await patch(id, { roles }, { basic }), await create(roles, basic)]) {
        expect(answer).toMatchObject({ status: 403, json: { scope: "roles:write" } });
      }
    }
    expect(await patch(id, { roles: [] }, { basic })).toMatchObject({ status: 403, json: { scope: "roles:write" } });

    const personnel = await registerWith("personnel", ["users:write", "roles:write"]);
    await one.sql("INSERT INTO roles (name, scopes) VALUES ('writer', '{users:write}'), ('seller', '{orders:sell}')");
    expect((await patch(id, { roles: ["writer"] }, { basic: personnel.basic })).status).toBe(200);
    for (const roles of [["seller"], ["writer", "seller"], ["administrator"]]) {
      for (const answer of [await patch(id, { roles }, personnel), await create(roles, personnel.basic)]) {
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
      }
    }
    expect(await patch(personnel.id, { roles: ["personnel", "seller"] }, personnel)).toMatchObject({ status: 403 });
    expect(await one.sql("SELECT role FROM user_roles WHERE user_id = $1", [id])).toEqual([{ role: "writer" }]);
    expect(await one.sql("SELECT 1 FROM users WHERE username LIKE 'created-%'")).toEqual([]);
  });

  test("a role that a change waited for counts: a user who became an administrator meanwhile is not changed", async () => {
    const { basic } = await registerWith("helpdesk", ["users:write"]);
    const { id } = await one.register();
    const lock = await holdLocks(one, "UPDATE users SET version = version + 1 WHERE id = $1", [id]);
    const blocked = patch(id, { blocked: true }, { basic });
    const deleted = other.send("DELETE", `/api/users/${id}`, { basic });
    const json = { new_password: "staple horse correct" };
    const replaced = one.send("PUT", `/api/users/${id}/password`, { basic, json });
    await lock.untilWaiting(3);
    await lock.query("INSERT INTO user_roles (user_id, role) VALUES ($1, 'administrator')", [id]);
    await lock.commit();
    for (const answer of await Promise.all([blocked, deleted, replaced])) {
      expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
    }
    await one.sql("DELETE FROM user_roles WHERE user_id = $1", [id]);
  });

  test("the scopes of a credential limit what its user may pass on", async () => {
    const networks: Networks = [unknownNetwork];
    const principal = (scopes: string[] | undefined): TokenPrincipal => ({
      proof: "token",
      userId: userId("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"),
      username: storedUsername("miguel"),
      epoch: 0,
      boundTo: undefined,
      keyId: keyId("key"),
      tokenId: tokenId("token"),
      clientId: "latchkey",
      epochs: undefined,
      sessionId: undefined,
      issuedAt: new Date(),
      expiresAt: new Date(),
      scopes: scopes && new Set(scopes),
    });
    const missing = async (rights: Partial<Rights>, scopes: string[] | undefined, role: Role) =>
      missingScopes(
        await actorOf(
          { rightsOf: () => ({ roles: [], scopes: new Set(), isAdministrator: false, epochs: {}, ...rights }) },
          principal(scopes),
          networks,
        ),
        [role],
      );
    const boss = { isAdministrator: true };
    const all = Object.keys(ownScopes).filter((scope) => !isOfEveryUser(scope));
    const administrator = { name: "administrator", scopes: [] };
    const seller = { name: "seller", scopes: ["orders:sell", "account:read"] };
    expect(await missing(boss, undefined, administrator)).toEqual([]);
    expect(await missing(boss, undefined, seller)).toEqual([]);
    expect(await missing(boss, ["users:write"], seller)).toEqual(["orders:sell"]);
    expect(await missing(boss, ["users:write", "orders:sell"], seller)).toEqual([]);
    expect(await missing(boss, ["users:write"], administrator)).toEqual(all.filter((scope) => scope !== "users:write"));
    // Every scope of this service is not the role of an administrator.
    expect(await missing(boss, all, administrator)).not.toEqual([]);
    expect(await missing({ scopes: new Set(all) }, undefined, administrator)).not.toEqual([]);
    const rights = { scopes: new Set(["users:write", "orders:sell"]) };
    expect(await missing(rights, undefined, seller)).toEqual([]);
    expect(await missing(rights, ["users:write"], seller)).toEqual(["orders:sell"]);
    expect(await missing({ scopes: new Set(["users:write"]) }, ["users:write", "orders:sell"], seller)).toEqual([
      "orders:sell",
    ]);
  });
});

test("what an administrator reads contains no hash", async () => {
  const { id } = await one.register();
  await one.send("POST", "/api/sessions", { basic: administrator });
  for (const target of ["/api/users?limit=100", `/api/users/${id}`, `/api/users/${id}/sessions`]) {
    const { status, text } = await get({ basic: administrator }, { target });
    expect(status).toBe(200);
    expect(text).not.toMatch(/argon2|password|epoch|digest|seed/);
  }
});
