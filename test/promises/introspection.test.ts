/** Introspection says what a credential allows at that moment, to callers with the scope only, and nothing about anything else. */
import { decodeJwt } from "jose";
import { describe, expect, test, vi } from "vitest";
import { newSecret } from "../../src/apiKeys/format.ts";
import { createKey } from "../support/apiKeys.ts";
import { type Received, sendRaw } from "../support/client.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const other = await startTestService({}, service.databaseUrl);
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, json });
const orders = "https://orders.example/v1";
const ordersScopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
await asAdmin("POST", "/api/apis", { audience: orders, name: "Orders", scopes: ordersScopes });
await asAdmin("PUT", "/api/roles/clerk", { scopes: ["orders:read", "orders:write", "users:read"] });

async function user(...roles: string[]) {
  const { id, username } = await service.register();
  await asAdmin("PATCH", `/api/users/${id}`, { roles });
  const basic: [string, string] = [username, password];
  const token = async (query = "") =>
    (await service.send("GET", `/api/token?${query}`, { basic })).json.token as string;
  const begin = async () => (await service.send("POST", "/api/sessions", { basic })).json;
  return { id, username, basic, token, begin };
}
const clerk = await user("clerk");
const { key: verifierKey } = await createKey(
  service,
  { basic: admin },
  { scopes: ["tokens:introspect", "revocations:read"] },
);
const introspect = async (token: string, at = service, form = {}) => {
  const answer = await at.send("POST", "/oauth/introspect", { bearer: verifierKey, form: { token, ...form } });
  expect(answer.status).toBe(200);
  return answer.json;
};
const scopeOf = async (token: string) => String((await introspect(token)).scope).split(" ");
const inactive = { active: false };
const issuer = "http://127.0.0.1:8080";
/** As the service with this audience asks. */
const introspectFor = async (audience: string, token: string) =>
  (await service.send("POST", "/oauth/introspect", { basic: admin, form: { token, audience } })).json;
const soonInactive = (token: string) =>
  vi.waitFor(async () => expect(await introspect(token, other)).toEqual(inactive), 1_000);

describe("a token for an API", () => {
  test("is described as its claims are", async () => {
    const token = await clerk.token(`audience=${orders}&scope=orders:read`);
    const { sub, client_id, username, scope, aud, iss, iat, exp, jti, roles, epoch, epochs } = decodeJwt(token);
    for (const at of [service, service, other]) {
      expect(await introspect(token, at)).toEqual({
        active: true,
        token_type: "access_token",
        ...{ sub, client_id, username, scope, aud, iss, iat, exp, jti, roles, epoch, epochs },
        revocation_subjects: expect.arrayContaining([jti, sub, "role:clerk", `api:${orders}`, "everybody"]),
      });
    }
  });

  test("of a session has its id, and is inactive everywhere when the session ends", async () => {
    const { id, refresh_token } = await clerk.begin();
    const request = { refresh_token, audience: orders };
    const { access_token } = (await service.send("POST", "/api/token", { json: request })).json;
    expect(await introspect(access_token, other)).toMatchObject({ sid: id });
    await service.send("DELETE", `/api/sessions/${id}`, { basic: clerk.basic });
    expect(await introspect(access_token)).toEqual(inactive);
    await soonInactive(access_token);
  });

  const losses: [string, (id: string) => Promise<unknown>][] = [
    ["the user loses the role", (id) => asAdmin("PATCH", `/api/users/${id}`, { roles: [] })],
    ["the role loses a scope", () => asAdmin("PUT", "/api/roles/seller", { scopes: ["till:read"] })],
    ["the API loses a scope", () => asAdmin("PATCH", "/api/apis/till", { scopes: [ordersScopes[0]] })],
    ["the API is deleted", () => asAdmin("DELETE", "/api/apis/till")],
    ["the user is blocked", (id) => asAdmin("PATCH", `/api/users/${id}`, { blocked: true })],
    ["the user is deleted", (id) => asAdmin("DELETE", `/api/users/${id}`)],
  ];
  test.each(losses)("is inactive everywhere as soon as %s", async (_name, lose) => {
    const scopes = ["till:read", "till:open"].map((name) => ({ name, description: "" }));
    await asAdmin("POST", "/api/apis", { audience: "till", name: "Till", scopes });
    await asAdmin("PATCH", "/api/apis/till", { scopes });
    await asAdmin("PUT", "/api/roles/seller", { scopes: ["till:read", "till:open"] });
    const seller = await user("seller");
    const token = await seller.token("audience=till");
    expect(await introspect(token, other)).toMatchObject({ scope: "till:read till:open" });
    expect(await introspect(token)).toMatchObject({ active: true });
    await lose(seller.id);
    expect(await introspect(token)).toEqual(inactive);
    await soonInactive(token);
  });
});

test("a token is inactive for every audience but its own", async () => {
  const forOrders = await clerk.token(`audience=${orders}`);
  const { refresh_token } = await clerk.begin();
  for (const [token, aud] of [
    [forOrders, orders],
    [await clerk.token(), issuer],
    [refresh_token, issuer],
  ] as const) {
    for (const audience of [orders, issuer, "unregistered"]) {
      expect(await introspectFor(audience, token)).toMatchObject(audience === aud ? { active: true, aud } : inactive);
    }
  }
});

describe("a token for Latchkey", () => {
  test("without limits has the scopes that its user has now", async () => {
    const porter = await user();
    const token = await porter.token();
    expect(await scopeOf(token)).toEqual(["account:read", "account:write"]);
    await asAdmin("PATCH", `/api/users/${porter.id}`, { roles: ["clerk"] });
    // Not those of other APIs.
    expect(await scopeOf(token)).toEqual(["account:read", "account:write", "users:read"]);
    expect(await introspect(token)).toMatchObject({ roles: ["clerk"] });
  });

  test("with limits has no scope beyond them, and none that its user has lost", async () => {
    const porter = await user("clerk");
    const token = await porter.token("scope=users:read%20account:read");
    expect(await scopeOf(token)).toEqual(["users:read", "account:read"]);
    await asAdmin("PATCH", `/api/users/${porter.id}`, { roles: [] });
    expect(await scopeOf(token)).toEqual(["account:read"]);
  });
});

describe("an API key", () => {
  const keyOf = (owner: Awaited<ReturnType<typeof user>>, scopes: string[], rest = {}) =>
    createKey(service, owner, { scopes, ...rest });

  test("has those of its scopes that its user has, and names what can change that", async () => {
    const owner = await user("clerk");
    const { id, key } = await keyOf(owner, ["orders:read", "users:read"]);
    const rights = [`rights:${owner.id}`, "role:default", "role:clerk"];
    expect(await introspect(key)).toEqual({
      active: true,
      token_type: "api_key",
      scope: "orders:read users:read",
      client_id: "latchkey",
      username: owner.username,
      sub: owner.id,
      iss: "http://127.0.0.1:8080",
      roles: ["clerk"],
      api_key_id: id,
      revocation_subjects: [id, owner.id, ...rights, "everybody"],
    });
    await asAdmin("PATCH", `/api/users/${owner.id}`, { roles: [] });
    expect(await introspect(key)).toMatchObject({ active: true, scope: "", roles: [] });
  });

  test("is described for the API that asks, by its scopes of it, and is inactive if it has none", async () => {
    const owner = await user("clerk");
    const { id, key } = await keyOf(owner, ["orders:read", "users:read"]);
    expect(await introspectFor(orders, key)).toMatchObject({ active: true, aud: orders, scope: "orders:read" });
    const { revocation_subjects } = await introspectFor(orders, key);
    expect(revocation_subjects).toEqual(expect.arrayContaining([id, `rights:${owner.id}`, `api:${orders}`]));
    expect(await introspectFor(issuer, key)).toMatchObject({ aud: issuer, scope: "users:read" });
    const own = (await keyOf(owner, ["users:read"])).key;
    for (const audience of [orders, "unregistered"]) expect(await introspectFor(audience, own)).toEqual(inactive);
    expect(await introspectFor(issuer, (await keyOf(owner, [])).key)).toMatchObject({ active: true, scope: "" });
    await asAdmin("PATCH", `/api/users/${owner.id}`, { roles: [] });
    expect(await introspectFor(orders, key)).toMatchObject({ active: true, scope: "" });
  });

  test("that is narrowed, expired, rotated or deleted, or whose user is blocked, is described as such", async () => {
    const owner = await user("clerk");
    const narrowed = await keyOf(owner, ["orders:read", "users:read"]);
    expect(await scopeOf(narrowed.key)).toEqual(["orders:read", "users:read"]);
    const { basic } = owner;
    await service.send("PATCH", `/api/api-keys/${narrowed.id}`, { basic, json: { scopes: ["users:read"] } });
    expect(await scopeOf(narrowed.key)).toEqual(["users:read"]);

    const at = new Date(Math.ceil(Date.now() / 1000) * 1000 + 60_000);
    const expiring = await keyOf(owner, [], { expires_at: at.toISOString() });
    expect(await introspect(expiring.key)).toMatchObject({ active: true, exp: at.getTime() / 1000 });
    await service.sql("UPDATE api_keys SET expires_at = now() WHERE id = $1", [expiring.id]);
    expect(await introspect(expiring.key, await startTestService({}, service.databaseUrl))).toEqual(inactive);

    const rotated = await keyOf(owner, []);
    const rotation = { basic, json: { overlap_seconds: 60 } };
    const next = (await service.send("POST", `/api/api-keys/${rotated.id}/rotations`, rotation)).json.key;
    expect(await introspect(rotated.key)).toMatchObject({ active: true, exp: expect.any(Number) });
    expect(await introspect(next)).not.toHaveProperty("exp");
    await service.send("POST", `/api/api-keys/${rotated.id}/rotations`, { basic, json: { overlap_seconds: 0 } });
    for (const key of [rotated.key, next]) expect(await introspect(key)).toEqual(inactive);

    const deleted = await keyOf(owner, []);
    expect(await introspect(deleted.key, other)).toMatchObject({ active: true });
    await service.send("DELETE", `/api/api-keys/${deleted.id}`, { basic });
    expect(await introspect(deleted.key)).toEqual(inactive);
    await soonInactive(deleted.key);

    await asAdmin("PATCH", `/api/users/${owner.id}`, { blocked: true });
    expect(await introspect(narrowed.key)).toEqual(inactive);
  });

  test("is recorded as used, without the network of the service that asked", async () => {
    const instance = await startTestService({}, service.databaseUrl);
    const { id, key } = await keyOf(clerk, []);
    await introspect(key, instance);
    await instance.close(); // writes what was recorded
    const [row] = await service.sql("SELECT last_used_at, last_used_network FROM api_key_secrets WHERE key_id = $1", [
      id,
    ]);
    expect(row).toEqual({ last_used_at: expect.any(Date), last_used_network: null });
  });
});

describe("a refresh token", () => {
  test("is active until it is used or its session ends, on every instance", async () => {
    const first = await clerk.begin();
    for (const at of [service, other]) {
      expect(await introspect(first.refresh_token, at)).toMatchObject({ sid: first.id, exp: expect.any(Number) });
    }
    expect(await introspect(first.refresh_token)).not.toHaveProperty("scope");
    const { refresh_token: second } = (
      await service.send("POST", "/api/token", { json: { refresh_token: first.refresh_token } })
    ).json;
    expect(await introspect(first.refresh_token)).toEqual(inactive);
    expect(await introspect(second, other)).toMatchObject({ active: true });
    await service.send("DELETE", `/api/sessions/${first.id}`, { basic: clerk.basic });
    for (const at of [service, other]) expect(await introspect(second, at)).toEqual(inactive);
  });

  test("of a user who signed out everywhere, or was blocked, is inactive", async () => {
    const porter = await user();
    const [one, two] = [await porter.begin(), await porter.begin()];
    await service.send("DELETE", "/api/sessions", { basic: porter.basic });
    const third = await porter.begin();
    await asAdmin("PATCH", `/api/users/${porter.id}`, { blocked: true });
    for (const { refresh_token } of [one, two, third]) expect(await introspect(refresh_token)).toEqual(inactive);
  });

  test("is described only to who has all of it", async () => {
    const { refresh_token } = await clerk.begin();
    const [id = "", secret = ""] = refresh_token.split(".");
    const generation = secret.slice(0, 6);
    for (const text of [
      `${id}.${"A".repeat(48)}`,
      `${id}.${generation}${"A".repeat(42)}`,
      `${id.toUpperCase()}.${secret}`,
      `${id}.${secret}x`,
      ` ${refresh_token}`,
    ]) {
      expect(await introspect(text), text).toEqual(inactive);
    }
  });
});

describe("the response to everything else is the same, and nothing is recorded", () => {
  const garbage: [string, string][] = [
    ["a word", "x"],
    ["a NUL", "\0"],
    ["a control character", "a\u0001b"],
    ["text beyond ASCII", "é😀"],
    ["JSON", '{"active":true}'],
    ["16 KiB", "x".repeat(16_000)],
    ["16 KiB of dots", ".".repeat(16_000)],
    ["the form of a token", `eyJ${"x".repeat(5_000)}.eyJ${"x".repeat(5_000)}.xx`],
    ["alg none", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."],
    ["an unknown API key", newSecret().text],
    ["an API key without its end", newSecret().text.slice(0, -1)],
    ["the prefix of API keys", "lk_"],
    ["__proto__", "__proto__"],
    ["a username and a password", `${clerk.username}:${password}`],
  ];
  const refusals = () => service.log.filter((line) => /"event":"[a-z-]+-refused"/.test(line)).length;

  test("for garbage", async () => {
    await introspect("x"); // the key of the caller is in memory
    await service.send("GET", "/api/resource", { bearer: "x" });
    const before = refusals();
    expect(before).toBeGreaterThan(0);
    for (const [name, token] of garbage) {
      for (const hint of ["", "access_token", "refresh_token", "api_key", "password", "\0"]) {
        const form = { token, token_type_hint: hint };
        const answer = await service.send("POST", "/oauth/introspect", { bearer: verifierKey, form });
        expect(answer, name).toMatchObject({ status: 200, text: '{"active":false}' });
      }
    }
    expect(refusals()).toBe(before);
  });

  test("for tokens that were altered, have expired or were revoked", async () => {
    const token = await clerk.token(`audience=${orders}`);
    const [header = "", payload = "", signature = ""] = token.split(".");
    const own = (await clerk.token()).split(".");
    expect(await introspect(token)).toMatchObject({ active: true });
    for (const text of [
      `${header}.${own[1]}.${signature}`,
      `${header}.${payload}.${own[2]}`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.`,
      `${token}.${signature}`,
      `Bearer ${token}`,
    ]) {
      expect(await introspect(text), text).toEqual(inactive);
    }
    const revoked = await clerk.token();
    expect(await introspect(revoked)).toMatchObject({ active: true });
    await service.send("DELETE", "/api/token", { bearer: revoked });
    expect(await introspect(revoked)).toEqual(inactive);
    const instance = await startTestService({}, service.databaseUrl);
    const brief = await clerk.token();
    expect(await introspect(brief, instance)).toMatchObject({ active: true });
    instance.advance(601);
    for (const text of [brief, token]) expect(await introspect(text, instance)).toEqual(inactive);
  });
});

describe("a caller without the right gets nothing", () => {
  const send = (credentials: object) =>
    service.send("POST", "/oauth/introspect", { ...credentials, form: { token: verifierKey } });
  const refused = async (credentials: object): Promise<Received> => {
    const answer = await send(credentials);
    expect(answer.text).not.toContain("active");
    return answer;
  };

  test.each<[string, () => Promise<object>]>([
    ["a user without the scope", async () => ({ basic: clerk.basic })],
    ["a token of such a user", async () => ({ bearer: await clerk.token() })],
    [
      "an administrator's token that is limited to other scopes",
      async () => ({
        bearer: (await service.send("GET", "/api/token?scope=users:read", { basic: admin })).json.token,
      }),
    ],
    [
      "an administrator's key without the scope",
      async () => ({ bearer: (await createKey(service, { basic: admin }, { scopes: ["users:read"] })).key }),
    ],
  ])("%s: 403", async (_name, credentials) => {
    const answer = await refused(await credentials());
    expect(answer).toMatchObject({ status: 403, json: { error: "insufficient_scope" } });
    expect(answer.header("www-authenticate")).toContain('error="insufficient_scope", scope="tokens:introspect"');
  });

  test("a key whose user has lost the scope: 403, at once and everywhere", async () => {
    await asAdmin("PUT", "/api/roles/verifier", { scopes: ["tokens:introspect"] });
    const owner = await user("verifier");
    const { key } = await createKey(service, owner, { scopes: ["tokens:introspect"] });
    const at = async (one: typeof service) =>
      (await one.send("POST", "/oauth/introspect", { bearer: key, form: { token: key } })).status;
    expect([await at(service), await at(other)]).toEqual([200, 200]);
    await asAdmin("PATCH", `/api/users/${owner.id}`, { roles: [] });
    expect(await at(service)).toBe(403);
    await vi.waitFor(async () => expect(await at(other)).toBe(403), 1_000);
  });

  test.each<[string, () => Promise<object>]>([
    ["no credentials", async () => ({})],
    ["a wrong password", async () => ({ basic: [admin[0], "wrong password"] })],
    [
      "an administrator's token for another API",
      async () => ({
        bearer: (await service.send("GET", `/api/token?audience=${orders}`, { basic: admin })).json.token,
      }),
    ],
    ["a refresh token", async () => ({ bearer: (await clerk.begin()).refresh_token })],
    ["an unknown key", async () => ({ bearer: newSecret().text })],
  ])("%s: 401 with a challenge", async (_name, credentials) => {
    const answer = await refused(await credentials());
    expect(answer.status).toBe(401);
    expect(answer.json.error).toMatch(/^invalid_(client|token)$/);
    expect(answer.header("www-authenticate")).toContain("Bearer realm=");
  });
});

describe("a malformed request is an error of OAuth", () => {
  const bearer = verifierKey;
  const form = "application/x-www-form-urlencoded";
  const post = (body: string, type = form, target = "/oauth/introspect") =>
    service.send("POST", target, { bearer, body, headers: { "content-type": type } });

  test.each<[string, number, () => Promise<Received>]>([
    ["JSON", 415, () => post('{"token":"x"}', "application/json")],
    ["a token of 100 kB", 413, () => post(`token=${"x".repeat(100_000)}`)],
    ["two tokens", 400, () => post("token=x&token=y")],
    ["two tokens, one of them empty", 400, () => post("token=x&token=")],
    ["a lone surrogate", 400, () => post("token=%ED%A0%80")],
    ["no token", 400, () => post("a=b")],
    ["a token in the query", 400, () => post("a=b", form, "/oauth/introspect?token=x")],
    ["a token in the query and in the body", 400, () => post("token=x", form, "/oauth/introspect?token=x")],
    ["no cursor", 400, () => post("token=x&revocations_after=x")],
    ["another character set", 415, () => post("token=x", `${form}; charset=utf-16`)],
    ["GET", 405, () => service.send("GET", "/oauth/introspect?token=x", { bearer })],
    ["a target with a fragment", 400, () => post("token=x", form, "/oauth/introspect#x")],
    ["an unknown path", 404, () => post("token=x", form, "/oauth/unknown")],
  ])("%s", async (_name, status, send) => {
    const answer = await send();
    expect(answer.status).toBe(status);
    expect(answer.header("content-type")).toBe("application/json; charset=utf-8");
    expect(answer.header("cache-control")).toBe("no-store");
    expect(answer.json).toEqual({
      error: "invalid_request",
      error_description: expect.stringMatching(/^[ !#-[\]-~]+$/),
      error_uri: expect.stringMatching(/^\/problems\//),
    });
  });

  test("two Host headers, with a connection that closes", async () => {
    const bytes = "POST /oauth/introspect HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n";
    const answer = await sendRaw(service.url, bytes, "POST", "/oauth/introspect");
    expect(answer).toMatchObject({ status: 400, json: { error: "invalid_request" } });
  });

  test("parameters that RFC 6749 does not know are ignored, whatever their names", async () => {
    const answer = await post("__proto__=x&constructor=y&client_id=z&resource=&token=x");
    expect(answer).toMatchObject({ status: 200, json: inactive });
  });
});

describe("with revocations_after", () => {
  const read = async (query = "") =>
    (await service.send("GET", `/api/revocations?${query}`, { bearer: verifierKey })).json;
  /** The cursor of a follower that has seen the entry of a subject. */
  const cursorAfter = async (subject: unknown, from: string): Promise<string> => {
    const { entries, next } = await read(`after=${from}&wait=5`);
    return entries.some((entry: { subject: string }) => entry.subject === subject) ? next : cursorAfter(subject, next);
  };

  test("no instance responds from before the cursor", async () => {
    const owner = await user();
    for (let round = 0; round < 10; round += 1) {
      const { id, key } = await createKey(service, owner);
      const token = await owner.token();
      for (const text of [key, token]) expect(await introspect(text, other)).toMatchObject({ active: true });
      const { next } = await read();
      await service.send("DELETE", "/api/token", { bearer: token });
      await service.send("DELETE", `/api/api-keys/${id}`, { basic: owner.basic });
      const revocations_after = await cursorAfter(id, next);
      for (const text of [key, token]) expect(await introspect(text, other, { revocations_after })).toEqual(inactive);
    }
  });

  test("a valid token stays active", async () => {
    expect(await introspect(await clerk.token(), other, { revocations_after: (await read()).next })).toMatchObject({
      active: true,
    });
  });
});

test("access tokens and API keys that were seen before are introspected without the database", async () => {
  const owner = await user("clerk");
  const { key } = await createKey(service, owner);
  const tokens = [key, await owner.token(), await owner.token(`audience=${orders}`)];
  for (const token of tokens) expect(await introspect(token)).toMatchObject({ active: true });
  await service.withoutDatabase(async () => {
    for (const token of tokens) expect(await introspect(token)).toMatchObject({ active: true });
    const { refresh_token } = { refresh_token: `01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b.${"A".repeat(48)}` };
    const answer = await service.send("POST", "/oauth/introspect", { bearer: key, form: { token: refresh_token } });
    expect(answer.status).toBe(403);
    const unknown = await service.send("POST", "/oauth/introspect", {
      bearer: verifierKey,
      form: { token: refresh_token },
    });
    expect(unknown).toMatchObject({ status: 503, json: { error: "temporarily_unavailable" } });
  });
});
