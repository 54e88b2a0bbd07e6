/** Tokens of clients: those that they get for themselves, and those that users allow them to have. */
import { decodeJwt } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { deviceCodeGrant } from "../support/clientRows.ts";
import { registerClient, type TestClient } from "../support/oauthClients.ts";
import { type CodeOptions, issueCode, issueDeviceCode, ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();
const other = await startTestService({ REFRESH_GRACE_SECONDS: "0" }, service.databaseUrl);
const basic = await service.administrator();
const orders = "https://orders.example";
const ordersScopes = [{ name: "orders:read", description: "See orders." }];

const ask = (form: Record<string, string>, { client_id, client_secret }: TestClient, on = service) =>
  on.send("POST", "/oauth/token", { form: { ...form, client_id, ...(client_secret && { client_secret }) } });
const get = (target: string, bearer: string, on = service) => on.send("GET", target, { bearer });

beforeAll(async () => {
  const api = { audience: orders, name: "Orders", scopes: ordersScopes };
  expect((await service.send("POST", "/api/apis", { basic, json: api })).status).toBe(201);
});

describe("the token of a client itself", () => {
  const newMachine = (scopes = ["users:read", "orders:read"]) =>
    registerClient(service, basic, { name: "Nightly report", scopes, audiences: [orders] });
  const tokenOf = async (client: TestClient, parameters: Record<string, string> = {}) => {
    const answer = await ask({ grant_type: "client_credentials", ...parameters }, client);
    expect(answer.status).toBe(200);
    return answer.json.access_token as string;
  };

  test("is accepted by administrative operations, within its scopes", async () => {
    const token = await tokenOf(await newMachine());
    expect((await get("/api/users", token)).status).toBe(200);
    const { id } = await service.register();
    expect((await get(`/api/users/${id}`, token)).status).toBe(200);
    const refused = await service.send("DELETE", `/api/users/${id}`, { bearer: token });
    expect(refused).toMatchObject({ status: 403, problem: "insufficient-scope" });
    const limited = await tokenOf(await newMachine(["audit:read"]));
    expect((await get(`/api/users/${id}`, limited)).status).toBe(404);
  });

  test("is rejected by the operations of a user's account", async () => {
    const token = await tokenOf(await newMachine());
    for (const target of ["/api/users/me", "/api/resource", "/api/sessions", "/api/api-keys", "/api/forward-auth"]) {
      expect((await get(target, token)).status, target).toBe(401);
    }
    const asUsername = await service.send("GET", "/api/users/me", { basic: [token, "unused"] });
    expect(asUsername).toMatchObject({ status: 401, problem: "invalid-credentials" });
  });

  test("is the actor of what the client does", async () => {
    const client = await newMachine(["users:write"]);
    const json = { username: "by-a-client", password };
    const created = await service.send("POST", "/api/users", { bearer: await tokenOf(client), json });
    expect(created.status).toBe(201);
    const events = await service.send("GET", `/api/audit-events?actor_id=${client.client_id}`, { basic });
    expect(events.json.events).toEqual([
      expect.objectContaining({ event: "user-created", actor: { id: client.client_id, name: "Nightly report" } }),
    ]);
  });

  test("cannot give a user more than the client has", async () => {
    const client = await newMachine(["users:write", "roles:write"]);
    const json = { username: "too-much", password, roles: ["administrator"] };
    const answer = await service.send("POST", "/api/users", { bearer: await tokenOf(client), json });
    expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
  });

  test.each<[string, (id: string) => Promise<unknown>]>([
    ["deleted", (id) => service.send("DELETE", `/api/clients/${id}`, { basic })],
    ["given fewer scopes", (id) => service.send("PATCH", `/api/clients/${id}`, { basic, json: { scopes: [] } })],
  ])("is rejected at once when the client is %s", async (_case, change) => {
    const client = await newMachine();
    const [own, forApi] = [await tokenOf(client), await tokenOf(client, { resource: orders })];
    expect((await get("/api/users", own)).status).toBe(200);
    await change(client.client_id);
    expect(await get("/api/users", own)).toMatchObject({ status: 401, problem: "token-revoked" });
    const introspected = await service.send("POST", "/oauth/introspect", { basic, form: { token: forApi } });
    expect(introspected.json).toEqual({ active: false });
  });

  test("for an API names the client, and passes a proxy for this API only", async () => {
    const client = await newMachine();
    const token = await tokenOf(client, { scope: "orders:read" });
    expect((await get("/api/users", token)).status).toBe(401);
    const introspected = await service.send("POST", "/oauth/introspect", { basic, form: { token } });
    expect(introspected.json).toMatchObject({
      active: true,
      sub: client.client_id,
      client_id: client.client_id,
      aud: orders,
      scope: "orders:read",
    });
    expect(introspected.json).not.toHaveProperty("username");
    const passed = await get(`/api/forward-auth?audience=${orders}&scope=orders:read`, token);
    expect(passed.status).toBe(204);
    expect(passed.header("latchkey-client-id")).toBe(client.client_id);
    expect(passed.header("latchkey-user-id")).toBe("");
  });

  test("takes no query once the client and its APIs are in memory", async () => {
    const client = await newMachine();
    await tokenOf(client);
    // A query would wait for the lock until its deadline, and the response would be a 503.
    const lock = await holdLocks(service, "LOCK TABLE clients, client_secrets, apis", []);
    const tokens = [tokenOf(client), tokenOf(client, { resource: orders })];
    const issued = await Promise.allSettled(tokens).finally(lock.commit);
    expect(issued.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
  });

  test("is not for public clients", async () => {
    const form = { grant_type: "client_credentials" };
    const spa = { public: true, grant_types: ["authorization_code"], redirect_uris: [redirectUri] };
    const client = await registerClient(service, basic, spa);
    await service.sql("UPDATE clients SET grant_types = '{client_credentials}' WHERE id = $1", [client.client_id]);
    expect(await ask(form, client)).toMatchObject({ status: 400, problem: "unauthorized-client" });
  });
});

describe("what a user allows a client", () => {
  const newApp = (members: Record<string, unknown> = {}) =>
    registerClient(service, basic, {
      grant_types: ["authorization_code", "refresh_token"],
      scopes: ["account:read", "account:write", "orders:read"],
      audiences: [orders],
      redirect_uris: [redirectUri],
      ...members,
    });
  const started = async (members: Record<string, unknown> = {}, options: Partial<CodeOptions> = {}) => {
    const client = await newApp(members);
    const user = await service.register();
    const code = await issueCode(service, { clientId: client.client_id, userId: user.id, ...options });
    return { client, user, code };
  };
  const redeemed = async (members: Record<string, unknown> = {}, options: Partial<CodeOptions> = {}) => {
    const all = await started(members, options);
    const { status, json } = await ask(all.code, all.client);
    expect(status).toBe(200);
    return { ...all, tokens: json, refresh: { grant_type: "refresh_token", refresh_token: json.refresh_token } };
  };
  const invalidGrant = { status: 400, problem: "invalid-grant", json: { error: "invalid_grant" } };

  test("is a session that the user sees and ends", async () => {
    const { client, user, tokens, refresh } = await redeemed();
    const credentials = { basic: [user.username, password] as [string, string] };
    const { json } = await service.send("GET", "/api/sessions", credentials);
    const { sid } = decodeJwt(tokens.access_token);
    const session = { id: sid, client_id: client.client_id, audience: ownAudience, scope: "account:read" };
    expect(json.sessions).toEqual([expect.objectContaining(session)]);
    expect((await get("/api/sessions", tokens.access_token)).status).toBe(200);
    expect((await service.send("DELETE", `/api/sessions/${sid}`, credentials)).status).toBe(204);
    expect((await get("/api/sessions", tokens.access_token)).problem).toBe("token-revoked");
    expect(await ask(refresh, client)).toMatchObject(invalidGrant);
  });

  test("contains an ID token if openid was granted, and the scopes of the API", async () => {
    const scopes = ["openid", "orders:read"];
    const { client, user, tokens } = await redeemed({}, { scopes, audience: orders, nonce: "n-0S6_WzA2Mj" });
    expect(tokens.scope).toBe("openid");
    expect(decodeJwt(tokens.access_token)).toMatchObject({ aud: orders, scope: "", client_id: client.client_id });
    expect(decodeJwt(tokens.id_token)).toMatchObject({ sub: user.id, aud: client.client_id, nonce: "n-0S6_WzA2Mj" });
    expect((await get("/api/users/me", tokens.id_token)).status).toBe(401);
  });

  test("expires with the access token if the client cannot refresh", async () => {
    const { user, tokens } = await redeemed({ grant_types: ["authorization_code"] });
    expect(tokens).not.toHaveProperty("refresh_token");
    const [row] = await service.sql(
      "SELECT extract(epoch FROM expires_at - created_at)::integer AS seconds FROM sessions WHERE user_id = $1",
      [user.id],
    );
    expect(row?.["seconds"]).toBe(tokens.expires_in);
  });

  test.each<[string, Record<string, string>]>([
    ["another verifier", { code_verifier: "x".repeat(43) }],
    ["another redirect URI", { redirect_uri: `${redirectUri}/` }],
    ["another code", { code: "x".repeat(43) }],
  ])("is not given for %s, which does not use up the code", async (_case, wrong) => {
    const { client, code } = await started();
    expect(await ask({ ...code, ...wrong }, client)).toMatchObject(invalidGrant);
    expect((await ask(code, client)).status).toBe(200);
  });

  test.each<[string, string[]]>([
    ["without a verifier", ["code_verifier"]],
    ["without a code", ["code"]],
  ])("is not given %s", async (_case, absent) => {
    const { client, code } = await started();
    for (const name of absent) code[name] = "";
    expect(await ask(code, client)).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("is not given for another API than the user has allowed, which does not use up the code", async () => {
    const { client, code } = await started();
    for (const resource of [orders, "https://evil.example", "\0"]) {
      expect(await ask({ ...code, resource }, client)).toMatchObject({
        status: 400,
        json: { error: "invalid_target" },
      });
    }
    const { status, json } = await ask({ ...code, resource: ownAudience }, client);
    expect(status).toBe(200);
    expect(decodeJwt(json.access_token).aud).toBe(ownAudience);
  });

  test.each([
    ["a code", issueCode],
    ["a device code", issueDeviceCode],
  ])("limits the access token to the scope that the client sends with %s", async (_kind, issue) => {
    const client = await newApp({ grant_types: ["authorization_code", "refresh_token", deviceCodeGrant] });
    const user = await service.register();
    const allowed = {
      clientId: client.client_id,
      userId: user.id,
      scopes: ["openid", "account:read", "account:write"],
    };
    const code = await issue(service, allowed);
    expect((await ask({ ...code, scope: "account:read  account:write" }, client)).json.error).toBe("invalid_scope");
    const { json } = await ask({ ...code, scope: "users:read account:read" }, client);
    expect(json).toMatchObject({ scope: "account:read", id_token: expect.any(String) });
    expect(decodeJwt(json.access_token)["scope"]).toBe("account:read");
    const refreshed = await ask({ grant_type: "refresh_token", refresh_token: json.refresh_token }, client);
    expect(refreshed.json.scope).toBe("openid account:read account:write");
  });

  test("is not given for a redirect URI that Postgres cannot store", async () => {
    const { client, code } = await started();
    const answer = await ask({ ...code, redirect_uri: `${redirectUri}\0` }, client);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("is given without a redirect URI, as OAuth 2.1 has it", async () => {
    const { client, code } = await started();
    expect((await ask({ ...code, redirect_uri: "" }, client)).status).toBe(200);
  });

  test("is not given to another client, which does not use up the code", async () => {
    const { client, code } = await started();
    expect(await ask(code, await newApp())).toMatchObject(invalidGrant);
    expect((await ask(code, client)).status).toBe(200);
  });

  test.each<[string, string, Partial<CodeOptions>]>([
    ["that has expired", "UPDATE authorization_codes SET expires_at = now() WHERE user_id = $1", {}],
    ["of a user whose tokens were ended", "UPDATE users SET token_epoch = token_epoch + 1 WHERE id = $1", {}],
    ["of a blocked user", "UPDATE users SET blocked_at = now() WHERE id = $1", {}],
    ["that is bound to a DPoP key", "SELECT $1::text", { dpopJkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }],
  ])("is not given for a code %s", async (_case, change, options) => {
    const { client, user, code } = await started({}, options);
    await service.sql(change, [user.id]);
    expect(await ask(code, client)).toMatchObject(invalidGrant);
  });

  test("ends everywhere when the code is used again, but only with its verifier", async () => {
    const { client, tokens, code, refresh } = await redeemed();
    const stranger = { ...code, code_verifier: "x".repeat(43) };
    expect(await ask(stranger, client)).toMatchObject(invalidGrant);
    expect((await get("/api/sessions", tokens.access_token)).status).toBe(200);
    expect(await ask(code, client, other)).toMatchObject(invalidGrant);
    await expect.poll(async () => (await get("/api/sessions", tokens.access_token)).status).toBe(401);
    expect(await ask(refresh, client)).toMatchObject(invalidGrant);
    const events = await service.send("GET", "/api/audit-events?event=authorization-code-reused", { basic });
    expect(events.json.events).toHaveLength(1);
  });

  test("is given once if a code is redeemed 50 times at once on two instances", async () => {
    const { client, user, code } = await started();
    const attempts = Array.from({ length: 50 }, (_, index) => ask(code, client, index % 2 === 0 ? service : other));
    const answers = await Promise.all(attempts);
    const winners = answers.filter(({ status }) => status === 200);
    expect(winners).toHaveLength(1);
    expect(answers.filter(({ problem }) => problem === "invalid-grant")).toHaveLength(49);
    const rows = await service.sql("SELECT ended_at FROM sessions WHERE user_id = $1", [user.id]);
    expect(rows).toEqual([{ ended_at: expect.any(Date) }]);
  });

  test("is refreshed with fewer scopes, never with more", async () => {
    const { client, refresh } = await redeemed({}, { scopes: ["account:read", "account:write"] });
    for (const [more, problem] of [
      [{ scope: "account:read users:read" }, "invalid-scope"],
      [{ resource: orders }, "invalid-target"],
    ] as const) {
      expect(await ask({ ...refresh, ...more }, client)).toMatchObject({ status: 400, problem });
    }
    const fewer = await ask({ ...refresh, scope: "account:read" }, client);
    expect(fewer).toMatchObject({ status: 200, json: { scope: "account:read" } });
    const all = await ask({ ...refresh, refresh_token: fewer.json.refresh_token }, client);
    expect(all).toMatchObject({ status: 200, json: { scope: "account:read account:write" } });
  });

  test("is not refreshed beyond what the client may still have", async () => {
    const { client, refresh, tokens } = await redeemed({}, { scopes: ["account:read", "account:write"] });
    const json = { scopes: ["account:read"] };
    await service.send("PATCH", `/api/clients/${client.client_id}`, { basic, json });
    expect((await get("/api/sessions", tokens.access_token)).problem).toBe("token-revoked");
    expect(await ask(refresh, client)).toMatchObject({ status: 200, json: { scope: "account:read" } });
  });

  test("is not refreshed by another client, or as the user's own session", async () => {
    const { client, refresh } = await redeemed();
    expect(await ask(refresh, await newApp())).toMatchObject(invalidGrant);
    const direct = await service.send("POST", "/api/token", { json: { refresh_token: refresh.refresh_token } });
    expect(direct).toMatchObject({ status: 401, problem: "invalid-token" });
    expect((await ask(refresh, client)).status).toBe(200);
  });

  test("is not the user's own session", async () => {
    const client = await newApp();
    const { username } = await service.register();
    const { json } = await service.send("POST", "/api/sessions", { basic: [username, password] });
    const form = { grant_type: "refresh_token", refresh_token: json.refresh_token };
    expect(await ask(form, client)).toMatchObject(invalidGrant);
    const refreshed = await service.send("POST", "/api/token", { json: { refresh_token: json.refresh_token } });
    expect(refreshed.status).toBe(200);
  });

  test("gets one successor from concurrent refreshes, and ends when a token is used again later", async () => {
    const { client, refresh } = await redeemed();
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(refresh, client)));
    const successors = new Set(answers.map(({ json }) => json.refresh_token));
    expect([...successors]).toEqual([expect.stringMatching(/\./)]);
    expect(await ask(refresh, client, other)).toMatchObject(invalidGrant);
    const [refresh_token = ""] = successors;
    expect(await ask({ ...refresh, refresh_token }, client)).toMatchObject(invalidGrant);
  });
});

describe("a client that introspects and revokes", () => {
  const scopes = ["users:read", "tokens:introspect"];
  const introspect = (form: Record<string, string>, credentials?: [string, string]) =>
    service.send("POST", "/oauth/introspect", { form, ...(credentials && { basic: credentials }) });
  const revoke = (form: Record<string, string>, credentials?: [string, string]) =>
    service.send("POST", "/oauth/revoke", { form, ...(credentials && { basic: credentials }) });
  const basicOf = ({ client_id, client_secret }: TestClient): [string, string] => [client_id, client_secret];
  const newToken = async (client: TestClient) =>
    (await ask({ grant_type: "client_credentials", scope: "users:read" }, client)).json.access_token as string;

  test("introspects with its secret and the scope tokens:introspect", async () => {
    const client = await registerClient(service, basic, { scopes });
    const token = await newToken(client);
    for (const answer of [
      await introspect({ token }, basicOf(client)),
      await introspect({ token, client_id: client.client_id, client_secret: client.client_secret }),
      await service.send("POST", "/oauth/introspect", { form: { token }, bearer: await bearerOf(client) }),
    ]) {
      expect(answer).toMatchObject({ status: 200, json: { active: true, sub: client.client_id } });
    }
  });
  const bearerOf = async (client: TestClient) =>
    (await ask({ grant_type: "client_credentials" }, client)).json.access_token as string;

  test("does not introspect with a wrong secret, without the scope, or as a public client", async () => {
    const client = await registerClient(service, basic, { scopes: ["users:read"] });
    const token = await newToken(client);
    const wrong = await introspect({ token }, [client.client_id, "wrong"]);
    expect(wrong).toMatchObject({ status: 401, problem: "invalid-client" });
    expect(wrong.header("www-authenticate")).toContain("Basic");
    const without = await introspect({ token }, basicOf(client));
    expect(without).toMatchObject({ status: 403, problem: "insufficient-scope" });
    await service.sql("UPDATE clients SET authentication = 'none', scopes = $1 WHERE id = $2", [
      scopes,
      client.client_id,
    ]);
    await service.sql(
      `INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
       VALUES ('client:' || $1, 0, now() + interval '1 hour', true)`,
      [client.client_id],
    );
    const asPublic = () => introspect({ token, client_id: client.client_id });
    expect(await asPublic()).toMatchObject({ status: 401, problem: "invalid-client" });
  });

  test("revokes its own tokens only", async () => {
    const [own, foreign] = [await registerClient(service, basic, { scopes }), await registerClient(service, basic)];
    const token = await newToken(own);
    expect((await revoke({ token }, basicOf(foreign))).status).toBe(200);
    expect((await get("/api/users", token)).status).toBe(200);
    expect(await revoke({ token }, [own.client_id, "wrong"])).toMatchObject({ status: 401, problem: "invalid-client" });
    expect((await revoke({ token }, basicOf(own))).status).toBe(200);
    expect(await get("/api/users", token)).toMatchObject({ status: 401, problem: "token-revoked" });
  });

  test("revokes a session of a user by its refresh token, as a public client by its id alone", async () => {
    const app = { public: true, grant_types: ["authorization_code", "refresh_token"], redirect_uris: [redirectUri] };
    const members = { ...app, scopes: ["account:read"] };
    const [own, foreign] = [
      await registerClient(service, basic, members),
      await registerClient(service, basic, members),
    ];
    const user = await service.register();
    const code = await issueCode(service, { clientId: own.client_id, userId: user.id });
    const { json } = await ask(code, own);
    const token = json.refresh_token;
    expect((await revoke({ token, client_id: foreign.client_id })).status).toBe(200);
    expect((await get("/api/sessions", json.access_token)).status).toBe(200);
    expect((await revoke({ token, client_id: own.client_id })).status).toBe(200);
    expect(await get("/api/sessions", json.access_token)).toMatchObject({ status: 401, problem: "token-revoked" });
    const again = await ask({ grant_type: "refresh_token", refresh_token: token }, own);
    expect(again).toMatchObject({ status: 400, problem: "invalid-grant" });
  });
});

test("a client cannot leave an API key of its user behind", async () => {
  const members = { grant_types: ["authorization_code"], redirect_uris: [redirectUri], scopes: ["account:write"] };
  const client = await registerClient(service, basic, { ...members, public: true });
  const { id: userId, username } = await service.register();
  const code = await issueCode(service, { clientId: client.client_id, userId, scopes: ["account:write"] });
  const { json } = await ask(code, client);
  const key = { name: "left behind", scopes: ["account:read"] };
  const refused = { status: 403, problem: "insufficient-scope" };
  expect(await service.send("POST", "/api/api-keys", { bearer: json.access_token, json: key })).toMatchObject(refused);
  const own = await service.send("POST", "/api/api-keys", { basic: [username, password], json: key });
  for (const [method, target, body] of [
    ["POST", `/api/api-keys/${own.json.id}/rotations`, { overlap_seconds: 0 }],
    ["PATCH", `/api/api-keys/${own.json.id}`, { scopes: ["account:write"] }],
  ] as const)
    expect(await service.send(method, target, { bearer: json.access_token, json: body })).toMatchObject(refused);
});

// The last one: afterwards, no token of an earlier user is valid.
test("the token of a client itself is revoked with all tokens", async () => {
  const client = await registerClient(service, basic, { scopes: ["users:read"] });
  const tokenOf = async () => (await ask({ grant_type: "client_credentials" }, client)).json.access_token;
  const token = await tokenOf();
  await service.sql(`INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
    VALUES ('everybody', 7, now() + interval '1 hour', true)`);
  await expect.poll(async () => (await get("/api/users", token)).status).toBe(401);
  expect((await get("/api/users", await tokenOf())).status).toBe(200);
});
