/** Nobody grants or changes more than they have, whichever way they try. */
import { describe, expect, test, vi } from "vitest";
import { createKey } from "../support/apiKeys.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();
const other = await startTestService({}, service.databaseUrl);
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, json });
const setRoles = (id: string, roles: string[]) => asAdmin("PATCH", `/api/users/${id}`, { roles });
const define = (name: string, ...scopes: string[]) => asAdmin("PUT", `/api/roles/${name}`, { scopes });
await define("manager", "roles:read", "roles:write");
await define("registrar", "apis:read", "apis:write");
const withoutScope = (scope: string) => ({ status: 403, problem: "insufficient-scope", json: { scope } });

async function userWith(...roles: string[]) {
  const { id, username } = await service.register();
  await setRoles(id, roles);
  const bearer = await service.token(username);
  const put = (name: string, ...scopes: string[]) =>
    service.send("PUT", `/api/roles/${name}`, { bearer, json: { scopes } });
  return { id, username, bearer, basic: [username, password] as [string, string], put };
}
const manager = await userWith("manager");
/** A token of the administrator that is limited to scopes. */
const limitedToken = async (scope: string): Promise<string> =>
  (await service.send("GET", `/api/token?scope=${scope}`, { basic: admin })).json.token;

describe("a user who may define roles", () => {
  test("gives a role the scopes that they have themselves", async () => {
    expect((await manager.put("helper", "roles:read")).status).toBe(201);
    expect((await manager.put("helper", "roles:read", "account:write")).status).toBe(200);
  });

  test("gives no role another scope, new or not, not even their own or that of every user", async () => {
    for (const name of ["brand-new", "helper", "manager", "default"]) {
      expect(await manager.put(name, "roles:read", "roles:write", "apis:write")).toMatchObject(
        withoutScope("apis:write"),
      );
    }
    expect((await asAdmin("GET", "/api/roles/brand-new")).status).toBe(404);
    expect((await asAdmin("GET", "/api/roles/default")).json.scopes).toEqual([]);
  });

  test("takes no scope from a role that they do not have, and does not delete it", async () => {
    expect(await manager.put("registrar")).toMatchObject(withoutScope("apis:read apis:write"));
    const answer = await service.send("DELETE", "/api/roles/registrar", { bearer: manager.bearer });
    expect(answer).toMatchObject(withoutScope("apis:read apis:write"));
    expect((await asAdmin("GET", "/api/roles/registrar")).json.scopes).toEqual(["apis:read", "apis:write"]);
  });

  test("is told of as many missing scopes as fit into the response", async () => {
    const names = Array.from({ length: 100 }, (_, n) => `${n}`.padStart(64, "x"));
    const api = (part: string[]) => part.map((name) => ({ name, description: "" }));
    await asAdmin("POST", "/api/apis", { audience: "wide", name: "Wide", scopes: api(names) });
    const answer = await manager.put("wide", ...names);
    expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
    expect(names).toEqual(expect.arrayContaining(answer.json.scope.split(" ")));
  });

  test("makes no administrator by a role of another name", async () => {
    expect(await manager.put("administrator")).toMatchObject({ status: 409, problem: "built-in-role" });
    for (const name of ["Administrator", "administrator%00", "administrator%20"]) {
      expect((await manager.put(name)).status).toBe(400);
    }
  });
});

describe("a limited credential of an administrator", () => {
  test("defines roles only of the scopes that it has itself", async () => {
    const bearer = await limitedToken("roles:read%20roles:write");
    const put = (...scopes: string[]) => service.send("PUT", "/api/roles/limited", { bearer, json: { scopes } });
    expect((await put("roles:read")).status).toBe(201);
    for (const scope of ["apis:read", "account:read"]) expect(await put(scope)).toMatchObject(withoutScope(scope));
  });

  test("gets no other token and no session, which take the password", async () => {
    const bearer = await limitedToken("roles:write");
    for (const [method, target] of [
      ["GET", "/api/token"],
      ["GET", "/api/token?scope=apis:write"],
      ["POST", "/api/sessions"],
      ["DELETE", "/api/users/me"],
    ] as const) {
      for (const credentials of [{ bearer }, { basic: [bearer, "unused"] as [string, string] }]) {
        expect((await service.send(method, target, credentials)).status).toBe(401);
      }
    }
  });

  test("does not change its own user without account:write, and so gets no password without limits", async () => {
    await define("helper-of-users", "users:write");
    const { id, username, basic } = await userWith("helper-of-users");
    const tokenWith = async (scope: string): Promise<string> =>
      (await service.send("GET", `/api/token?scope=${scope}`, { basic })).json.token;
    const { id: keyId, key } = await createKey(service, username, { scopes: ["users:write"] });
    const limited = await tokenWith("users:write");
    const newPassword = { new_password: "chosen by somebody else" };
    for (const bearer of [key, limited]) {
      for (const [method, target, json] of [
        ["PUT", `/api/users/${id}/password`, newPassword],
        ["PATCH", `/api/users/${id}`, { blocked: true }],
        ["DELETE", `/api/users/${id}/sessions`, undefined],
        ["DELETE", `/api/users/${id}/api-keys/${keyId}`, undefined],
        ["DELETE", `/api/users/${id}`, undefined],
      ] as const) {
        expect(await service.send(method, target, { bearer, json })).toMatchObject(withoutScope("account:write"));
      }
      const { id: another } = await service.register();
      expect((await service.send("DELETE", `/api/users/${another}`, { bearer })).status).toBe(204);
    }
    expect((await service.send("GET", "/api/resource", { basic })).status).toBe(200);
    const bearer = await tokenWith("users:write%20account:write");
    const answer = await service.send("PUT", `/api/users/${id}/password`, { bearer, json: newPassword });
    expect(answer.status).toBe(204);
  });

  test("ends its own token and session, whatever it is limited to", async () => {
    const json = { scope: "roles:read" };
    const session = (await service.send("POST", "/api/sessions", { basic: admin, json })).json;
    for (const bearer of [session.access_token, await limitedToken("roles:read")]) {
      expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
      expect((await service.send("GET", "/api/roles", { bearer })).problem).toBe("token-revoked");
    }
  });
});

describe("rights are those of now", () => {
  const list = (bearer: string, at = service) => at.send("GET", "/api/apis", { bearer });

  test("a role that is edited while it is in use holds here at once, and elsewhere within a second", async () => {
    await define("changing", "apis:read");
    const { bearer } = await userWith("changing");
    for (const at of [service, other]) expect((await list(bearer, at)).status).toBe(200);
    for (const [scopes, status] of [
      [["roles:read"], 403],
      [["apis:read"], 200],
    ] as const) {
      await define("changing", ...scopes);
      expect((await list(bearer)).status).toBe(status);
      await vi.waitFor(async () => expect((await list(bearer, other)).status).toBe(status), 1_000);
    }
  });

  test("a deleted user who is imported again has only the roles of the import", async () => {
    const { id, username, bearer, basic } = await userWith("manager");
    for (const at of [service, other]) expect((await at.send("GET", "/api/roles", { bearer })).status).toBe(200);
    const [hash] = await service.sql("SELECT password_hash FROM users WHERE id = $1", [id]);
    expect((await asAdmin("DELETE", `/api/users/${id}`)).status).toBe(204);
    await vi.waitFor(
      async () => expect((await other.send("GET", "/api/roles", { bearer })).problem).toBe("token-revoked"),
      1_000,
    );
    await service.sql("INSERT INTO users (id, username, password_hash) VALUES ($1, $2, $3)", [
      id,
      username,
      hash?.["password_hash"],
    ]);
    for (const at of [service, other]) {
      expect(await at.send("GET", "/api/roles", { basic })).toMatchObject(withoutScope("roles:read"));
    }
  });

  test("an editor who loses a role in the meantime cannot use it any more", async () => {
    await define("brief", "roles:read", "roles:write");
    const editor = await userWith("brief");
    expect((await editor.put("made", "roles:read")).status).toBe(201);
    await define("brief");
    expect(await editor.put("made", "roles:read")).toMatchObject(withoutScope("roles:write"));
  });

  test("of two roles with the same scope, one is enough", async () => {
    await define("first", "apis:read", "roles:read");
    await define("second", "apis:read");
    const { bearer } = await userWith("first", "second");
    await define("first", "roles:read");
    expect((await list(bearer)).status).toBe(200);
    await define("second");
    expect((await list(bearer)).status).toBe(403);
  });

  test("the role default holds for every user, also for those who register later", async () => {
    const before = await userWith();
    expect((await list(before.bearer)).status).toBe(403);
    await define("default", "apis:read");
    const after = await userWith();
    for (const { bearer } of [before, after]) expect((await list(bearer)).status).toBe(200);
    // A token without this scope does not get it.
    const limited = (await service.send("GET", "/api/token?scope=account:read", { basic: before.basic })).json.token;
    expect((await list(limited)).status).toBe(403);
    await vi.waitFor(async () => expect((await list(before.bearer, other)).status).toBe(200), 1_000);
    await define("default");
    for (const { bearer } of [before, after]) expect((await list(bearer)).status).toBe(403);
    await vi.waitFor(async () => expect((await list(before.bearer, other)).status).toBe(403), 1_000);
  });

  test("a role that gets another scope during a change is changed only by those who have that scope", async () => {
    for (const change of [
      () => manager.put("raced", "roles:write"),
      () => service.send("DELETE", "/api/roles/raced", { bearer: manager.bearer }),
    ]) {
      await define("raced", "roles:read");
      const edit = await holdLocks(service, "UPDATE roles SET scopes = '{apis:write}' WHERE name = 'raced'", []);
      const changed = change();
      await edit.untilWaiting(1);
      await edit.commit();
      expect(await changed).toMatchObject(withoutScope("apis:write"));
    }
    expect((await asAdmin("GET", "/api/roles/raced")).json.scopes).toEqual(["apis:write"]);
  });

  test("concurrent edits of a role leave the scopes of one of them, and only a permitted one counts", async () => {
    await define("raced", "roles:read");
    const answers = await Promise.all([
      define("raced", "roles:read", "apis:write"),
      manager.put("raced", "roles:read", "roles:write"),
      define("raced", "apis:read"),
      manager.put("raced", "roles:write"),
    ]);
    for (const { status } of answers) expect([200, 403]).toContain(status);
    const { scopes } = (await asAdmin("GET", "/api/roles/raced")).json;
    const stored = answers.filter(({ status }) => status === 200).map(({ json }) => json.scopes);
    expect(stored).toContainEqual(scopes);
  });
});
