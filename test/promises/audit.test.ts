/** The audit log has one line per event, and no secrets. */
import { execFileSync } from "node:child_process";
import { pbkdf2 } from "node:crypto";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { type AuditEvent, auditEvents, onlyLogged, recordable } from "../../src/audit/audit.ts";
import { createClientDocuments } from "../../src/clients/documents.ts";
import { documentStore } from "../../src/clients/store.ts";
import { openDatabase } from "../../src/database/database.ts";
import { auditLog, isUrgent } from "../../src/observability/log.ts";
import { createLogDestination } from "../../src/observability/logDestination.ts";
import { createRequestContext, runInRequest, runOutsideRequest } from "../../src/requestContext.ts";
import { openConsent, registerApp, requestOf, signedInBrowser } from "../support/authorizations.ts";
import { createClient, type Received } from "../support/client.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { openBrowser, pageOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { issueCode, ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, secretKey, startTestService, toNextWindowSeconds } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const service = await startTestService({ REFRESH_GRACE_SECONDS: "0", THROTTLE_ACCOUNT_ADDRESS: "2" });
const eventsOf = ({ header }: Received) =>
  service.log.map((line) => JSON.parse(line)).filter(({ event, req }) => event && req?.id === header("x-request-id"));
const seen = new Set<string>();
/** The events of a request, in their order. */
const expectEvents = (answer: Received, ...expected: object[]): void => {
  const events = eventsOf(answer);
  expect(events).toMatchObject(expected);
  for (const { event, req, time } of events) {
    seen.add(event);
    expect(req.address).toBe("127.0.0.1");
    expect(time).toBeGreaterThan(0);
  }
};

test("what clients do is logged with the client", async () => {
  const basic = await service.administrator("registrar");
  const { client_id: clientId, ...machine } = await registerClient(service, basic, { scopes: ["users:read"] });
  const credentials = { client_id: clientId, client_secret: machine.client_secret };
  const ask = (form: Record<string, string>) => service.send("POST", "/oauth/token", { form });
  const own = await ask({ grant_type: "client_credentials", ...credentials });
  expectEvents(own, { event: "client-token-issued", clientId, scope: "users:read" });
  const refused = await service.send("GET", "/api/roles", { bearer: own.json.access_token });
  expectEvents(refused, { event: "scope-refused", clientId, scope: "roles:read" });

  const { id: userId } = await service.register("code-owner");
  const members = { grant_types: ["authorization_code"], redirect_uris: [redirectUri] };
  const app = await registerClient(service, basic, { ...members, public: true });
  const code = await issueCode(service, { clientId: app.client_id, userId });
  const redeem = () => ask({ ...code, client_id: app.client_id });
  expectEvents(await redeem(), { event: "session-created", userId, clientId: app.client_id });
  expectEvents(
    await redeem(),
    { event: "authorization-code-refused", userId, clientId: app.client_id, reason: "redeemed" },
    { event: "authorization-code-reused", userId, clientId: app.client_id },
  );
});

test("each event is logged with its request, user and reason", async () => {
  const seconds = toNextWindowSeconds();
  service.advance(seconds);
  onTestFinished(() => service.advance(-seconds));
  const registered = await service.send("POST", "/api/users", { json: { username: "auditor", password } });
  const userId = registered.json.id;
  expectEvents(registered, { event: "user-registered", userId });
  const basic: [string, string] = ["auditor", password];

  const issued = await service.send("GET", "/api/token", { basic });
  expectEvents(issued, { event: "password-accepted", userId }, { event: "token-issued", userId });
  const bearer = issued.json.token;
  expectEvents(await service.send("GET", "/api/resource", { bearer }));

  const wrong = await service.send("GET", "/api/resource", { basic: ["auditor", "wrong password"] });
  expectEvents(wrong, { event: "password-refused", userId, reason: "wrong-password" });
  const unknown = await service.send("GET", "/api/resource", { basic: ["nobody", "wrong password"] });
  expectEvents(unknown, { event: "password-refused", reason: "unknown-user" });
  expect(eventsOf(unknown)[0].userId).toBeUndefined();

  const session = await service.send("POST", "/api/sessions", { basic });
  const sessionId = session.json.id;
  expectEvents(session, { event: "password-accepted" }, { event: "session-created", userId, sessionId });
  const refresh = (refresh_token: string) => service.send("POST", "/api/token", { json: { refresh_token } });
  const refreshed = await refresh(session.json.refresh_token);
  expectEvents(refreshed, { event: "session-refreshed", userId, sessionId });
  expectEvents(await refresh("rubbish"), { event: "refresh-refused", reason: "invalid-token" });
  const reused = await refresh(session.json.refresh_token);
  expectEvents(
    reused,
    { event: "refresh-token-reused", userId, sessionId, reason: "too-late" },
    { event: "refresh-refused", sessionId, reason: "token-reused" },
  );

  const second = await service.send("POST", "/api/sessions", { basic });
  const ended = await service.send("DELETE", `/api/sessions/${second.json.id}`, { bearer });
  expectEvents(ended, { event: "session-ended", userId, sessionId: second.json.id });
  expectEvents(await service.send("DELETE", "/api/token", { bearer }), { event: "token-revoked", userId });
  const refused = await service.send("GET", "/api/resource", { bearer });
  expectEvents(refused, { event: "token-refused", userId, reason: "token-revoked" });

  const everywhere = await service.send("DELETE", "/api/sessions", { basic });
  expectEvents(everywhere, { event: "password-accepted" }, { event: "sessions-ended", userId });
  const json = { current_password: password, new_password: "staple horse correct" };
  const changed = await service.send("PUT", "/api/users/me/password", { basic, json });
  expectEvents(
    changed,
    { event: "password-accepted" },
    { event: "password-accepted" },
    { event: "password-changed", userId, passwordEpoch: 2 },
  );
  await service.send("GET", "/api/resource", { basic });
  const throttled = await service.send("GET", "/api/resource", { basic });
  expectEvents(throttled, { event: "throttled", limit: "account-address" });
  await service.register("leaver");
  const deleted = await service.send("DELETE", "/api/users/me", { basic: ["leaver", password] });
  expectEvents(deleted, { event: "password-accepted" }, { event: "user-deleted" });
});

test("what an administrator does is logged with the user whom it concerns", async () => {
  const basic = await service.administrator("warden");
  const reason = "administrator";
  const accepted = { event: "password-accepted" };
  const send = async (method: string, target: string, json?: object) =>
    service.send(method, target, { basic, ...(json && { json }) });
  const json = { username: "prisoner", password, roles: ["administrator"] };
  const created = await send("POST", "/api/users", json);
  const userId = created.json.id;
  expectEvents(created, accepted, { event: "user-created", userId, reason, roles: "administrator" });
  const target = `/api/users/${userId}`;
  const demoted = await send("PATCH", target, { roles: [] });
  expectEvents(demoted, accepted, { event: "roles-changed", userId, reason, roles: "" });
  const { id: sessionId } = (await service.send("POST", "/api/sessions", { basic: ["prisoner", password] })).json;
  const ended = await send("DELETE", `${target}/sessions/${sessionId}`);
  expectEvents(ended, accepted, { event: "session-ended", userId, sessionId, reason });
  expectEvents(await send("DELETE", `${target}/sessions`), accepted, { event: "sessions-ended", userId, reason });
  await service.sql("INSERT INTO api_keys (id, user_id, name, scopes) VALUES ($1, $1, 'cron', '{}')", [userId]);
  const blocked = await send("PATCH", target, { blocked: true });
  const deletedKey = { event: "api-key-deleted", userId, apiKeyId: userId, reason: "user-blocked" };
  expectEvents(blocked, accepted, deletedKey, { event: "user-blocked", userId, reason });
  const refused = await service.send("GET", "/api/resource", { basic: ["prisoner", password] });
  expectEvents(refused, { event: "password-refused", userId, reason: "blocked" });
  expectEvents(await send("PATCH", target, { blocked: false }), accepted, { event: "user-unblocked", userId, reason });
  const changed = await send("PUT", `${target}/password`, { new_password: "staple horse correct" });
  expectEvents(changed, accepted, { event: "password-changed", userId, reason });
  expect(Number.isInteger(eventsOf(changed)[1]?.passwordEpoch)).toBe(true);
  expectEvents(await send("DELETE", target), accepted, { event: "user-deleted", userId, reason });
  // All of them are stored as well, except the sign-ins.
  const stored = await service.sql(
    "SELECT event, details, actor_name FROM audit_events WHERE subject_id = $1 ORDER BY id",
    [userId],
  );
  const byWarden = stored.filter(({ actor_name }) => actor_name === "warden").map(({ event }) => event);
  for (const event of ["user-created", "roles-changed", "user-blocked", "user-unblocked", "user-deleted"]) {
    expect(byWarden.filter((one) => one === event)).toEqual([event]);
  }
  expect(stored.find(({ event }) => event === "user-created")?.["details"]).toEqual({ reason, roles: "administrator" });
});

test("changes of roles and APIs, and refusals for missing scopes", async () => {
  const basic = await service.administrator("overseer");
  const send = async (method: string, target: string, json?: object) =>
    service.send(method, target, { basic, ...(json && { json }) });
  const accepted = { event: "password-accepted" };
  const scopes = [{ name: "orders:read", description: "" }];
  const created = await send("POST", "/api/apis", { audience: "orders", name: "Orders", scopes });
  expectEvents(created, accepted, { event: "api-created", audience: "orders", scope: "orders:read" });
  const renamed = await send("PATCH", "/api/apis/orders", { name: "All orders" });
  expectEvents(renamed, accepted, { event: "api-changed", audience: "orders", scope: "orders:read" });
  const defined = await send("PUT", "/api/roles/clerk", { scopes: ["roles:read", "orders:read"] });
  expectEvents(defined, accepted, { event: "role-changed", role: "clerk", scope: "orders:read roles:read" });
  const issued = await send("GET", "/api/token?audience=orders&scope=orders:read");
  expectEvents(issued, accepted, { event: "token-issued", audience: "orders", scope: "orders:read" });
  const limited = (await send("GET", "/api/token?scope=roles:write")).json.token;
  const refused = await service.send("DELETE", "/api/roles/clerk", { bearer: limited });
  expectEvents(refused, { event: "scope-refused", scope: "orders:read roles:read" });
  expectEvents(await send("DELETE", "/api/roles/clerk"), accepted, { event: "role-deleted", role: "clerk" });
  expectEvents(await send("DELETE", "/api/apis/orders"), accepted, { event: "api-deleted", audience: "orders" });
});

test("a request without the scope is logged", async () => {
  const { id: userId, username } = await service.register();
  const refused = await service.send("GET", "/api/audit-events", { basic: [username, password] });
  const expected = { event: "scope-refused", userId, scope: "audit:read" };
  expectEvents(refused, { event: "password-accepted", userId }, expected);
});

test("a registration with roles, from a user without the scope, is logged", async () => {
  const { id: userId, username } = await service.register();
  const json = { username: "promoted", password, roles: ["administrator"] };
  const refused = await service.send("POST", "/api/users", { basic: [username, password], json });
  const expected = { event: "scope-refused", userId, scope: "users:write" };
  expectEvents(refused, { event: "password-accepted", userId }, expected);
});

test("each change of an API key, and each refusal, is logged with its owner and its reason", async () => {
  const { id: userId } = await service.register("machinist");
  const bearer = await service.token("machinist");
  const created = await service.send("POST", "/api/api-keys", { bearer, json: { name: "cron", scopes: [] } });
  const { id: apiKeyId, key } = created.json;
  const about = { userId, apiKeyId };
  expectEvents(created, { event: "api-key-created", ...about });
  const target = `/api/api-keys/${apiKeyId}`;
  expectEvents(await service.send("PATCH", target, { bearer, json: { name: "daily" } }), {
    event: "api-key-changed",
    ...about,
  });
  const rotated = await service.send("POST", `${target}/rotations`, { bearer, json: { overlap_seconds: 0 } });
  expectEvents(rotated, { event: "api-key-rotated", ...about });
  const report = (key: string) => service.send("POST", "/api/api-keys/revocations", { json: { key } });
  expectEvents(await report(rotated.json.key), { event: "api-key-revoked", ...about });
  expectEvents(await report(rotated.json.key), { event: "api-key-refused", reason: "unknown" });
  expectEvents(await service.send("GET", "/api/resource", { bearer: key }), {
    event: "api-key-refused",
    reason: "unknown",
  });
  const other = (await service.send("POST", "/api/api-keys", { bearer, json: { name: "cron", scopes: [] } })).json;
  expectEvents(await service.send("DELETE", `/api/api-keys/${other.id}`, { bearer }), {
    event: "api-key-deleted",
    userId,
    apiKeyId: other.id,
  });
  const last = (await service.send("POST", "/api/api-keys", { bearer, json: { name: "cron", scopes: [] } })).json;
  const json = { current_password: password, new_password: "staple horse correct" };
  const changed = await service.send("PUT", "/api/users/me/password", { bearer, json });
  expectEvents(
    changed,
    { event: "password-accepted" },
    { event: "password-changed", userId },
    { event: "api-key-deleted", userId, apiKeyId: last.id, reason: "password-changed" },
  );
  // The table has the same events, stored with their changes.
  const stored = await service.sql(
    "SELECT event, details->>'api_key_id' AS key FROM audit_events WHERE subject_id = $1 AND event LIKE 'api-key-%' ORDER BY id",
    [userId],
  );
  expect(stored).toEqual([
    { event: "api-key-created", key: apiKeyId },
    { event: "api-key-changed", key: apiKeyId },
    { event: "api-key-rotated", key: apiKeyId },
    { event: "api-key-revoked", key: apiKeyId },
    { event: "api-key-created", key: other.id },
    { event: "api-key-deleted", key: other.id },
    { event: "api-key-created", key: last.id },
    { event: "api-key-deleted", key: last.id },
  ]);
});

test("each decision about a client, and its withdrawal, is logged with the client and the scopes", async () => {
  const administrator = await service.administrator("allower");
  const app = await registerApp(service, administrator);
  const firstParty = await registerApp(service, administrator, { first_party: true });
  const { id: userId } = await service.register("decider");
  const browser = await signedInBrowser(service, "decider", app);
  const details = { userId, clientId: app.client_id, audience: ownAudience, scope: "openid account:read" };
  const ask = () => openConsent(browser, requestOf(app).query);

  expectEvents(await browser.decide(await ask(), "deny"), { event: "authorization-denied", ...details });
  expectEvents(await browser.decide(await ask(), "allow"), { event: "authorization-allowed", ...details });
  const again = { event: "authorization-allowed", ...details, reason: "granted-before" };
  expectEvents(await browser.authorize(requestOf(app).query), again);
  const own = { ...again, clientId: firstParty.client_id, reason: "first-party" };
  expectEvents(await browser.authorize(requestOf(firstParty).query), own);

  const basic: [string, string] = ["decider", password];
  const { json } = await service.send("GET", "/api/grants", { basic });
  const deleted = await service.send("DELETE", `/api/grants/${json.grants[1].id}`, { basic });
  const scope = "account:read openid";
  expectEvents(deleted, { event: "password-accepted" }, { event: "grant-deleted", ...details, scope });
  const stored = await service.sql(
    `SELECT event, details - 'reason' AS details FROM audit_events WHERE subject_id = $1 AND event ~ '^(authorization|grant)-'
     ORDER BY id`,
    [userId],
  );
  const storedDetails = { client_id: app.client_id, audience: ownAudience, scope: details.scope };
  expect(stored).toEqual([
    { event: "authorization-denied", details: storedDetails },
    { event: "authorization-allowed", details: storedDetails },
    { event: "authorization-allowed", details: storedDetails },
    { event: "authorization-allowed", details: { ...storedDetails, client_id: firstParty.client_id } },
    { event: "grant-deleted", details: { ...storedDetails, scope } },
  ]);
});

test("what administrators do with clients is logged, and a client that cannot be authenticated", async () => {
  const basic = await service.administrator("custodian");
  const change = async (expected: object, method: string, target: string, json?: object) => {
    const answer = await service.send(method, target, { basic, ...(json && { json }) });
    expectEvents(answer, { event: "password-accepted" }, expected);
    return answer.json;
  };
  const members = { name: "Report", grant_types: ["client_credentials"], scopes: ["users:read"] };
  const created = await change({ event: "client-created", scope: "users:read" }, "POST", "/api/clients", members);
  const { client_id: clientId, client_secret } = created;
  const path = `/api/clients/${clientId}`;
  await change({ event: "client-changed", clientId, scope: "" }, "PATCH", path, { scopes: [] });
  const secret = await change({ event: "client-secret-created", clientId }, "POST", `${path}/secrets`);
  const deleted = { event: "client-secret-deleted", clientId, clientSecretId: secret.id };
  await change(deleted, "DELETE", `${path}/secrets/${secret.id}`);
  const ask = (client_id: string) =>
    service.send("POST", "/oauth/token", { form: { grant_type: "client_credentials", client_id, client_secret: "x" } });
  expectEvents(await ask(clientId), { event: "client-refused", clientId, reason: "wrong-credentials" });
  await change({ event: "client-deleted", clientId }, "DELETE", path);
  expectEvents(await ask(clientId), { event: "client-refused", reason: "unknown" });
  for (const text of [client_secret, secret.client_secret]) expect(service.log.join("")).not.toContain(text);
});

test("the documents of clients are logged, whether they are valid or not", async () => {
  const lines: string[] = [];
  const database = openDatabase(service.databaseUrl, 1);
  onTestFinished(() => database.close());
  const id = "https://app.example/client.json";
  const bodies: unknown[] = [{ client_id: id, redirect_uris: [redirectUri] }, {}];
  const documents = createClientDocuments({
    fetchJson: async () => ({ body: bodies.shift(), maxAgeSeconds: undefined }),
    store: documentStore(database),
    allowed: { scopes: ["openid"], audiences: [] },
    throttle: { newClient: async () => {} },
    enforce: () => {},
    clock: () => new Date(),
    audit: auditLog(pino({}, { write: (line) => void lines.push(line) })),
  });
  for (const url of [id, `${id}?wrong`]) {
    await runInRequest(createRequestContext("192.0.2.7", undefined), () => documents.fetch(url));
  }
  const events = lines.map((line) => JSON.parse(line));
  expect(events).toMatchObject([
    { event: "client-document-read", clientId: id },
    { event: "client-document-refused", clientId: `${id}?wrong`, reason: expect.any(String) },
  ]);
  for (const { event } of events) seen.add(event);
});

test("a decision about a device is logged, and the second use of its code", async () => {
  const { id: userId, username } = await service.register("device-owner");
  const { id: clientId } = await insertClient(service, { authentication: "none" });
  const start = { client_id: clientId, scope: "openid" };
  const { device_code, user_code } = (await service.send("POST", "/oauth/device-authorization", { form: start })).json;
  const browser = openBrowser(service);
  await browser.signIn(await browser.go("GET", "/oauth/device"), username);
  const confirm = await browser.submit(await browser.go("GET", "/oauth/device"), { user_code });
  const { page } = pageOf(await browser.allow(confirm));
  expectEvents(page, { event: "device-decided", userId, clientId, reason: "allowed" });
  const form = { grant_type: deviceCodeGrant, device_code, client_id: clientId };
  const poll = () => service.send("POST", "/oauth/token", { form });
  expectEvents(await poll(), { event: "session-created", userId, clientId });
  await service.sql("UPDATE device_codes SET redeemed_at = now() - interval '1 minute'");
  expectEvents(await poll(), { event: "device-code-reused", userId, clientId });
});

test("refresh events: refreshed, repeated, reused, ahead", async () => {
  const patient = await startTestService({ SESSIONS_PER_USER: "1" }, service.databaseUrl);
  const told = () => patient.log.map((line) => JSON.parse(line)).filter(({ event }) => event);
  const { id: userId } = await patient.register("refresher");
  const basic: [string, string] = ["refresher", password];
  const { id: oldest } = (await patient.send("POST", "/api/sessions", { basic })).json;
  const { id: sessionId, refresh_token } = (await patient.send("POST", "/api/sessions", { basic })).json;
  expect(told()).toContainEqual(
    expect.objectContaining({ event: "session-ended", userId, sessionId: oldest, reason: "too-many" }),
  );
  const refresh = (refresh_token: string) => patient.send("POST", "/api/token", { json: { refresh_token } });
  const [row] = await patient.sql("SELECT refresh_digest FROM sessions WHERE id = $1", [sessionId]);
  const next = (await refresh(refresh_token)).json.refresh_token;
  await refresh(refresh_token);
  await patient.sql("UPDATE sessions SET generation = 0, refresh_digest = $2 WHERE id = $1", [
    sessionId,
    row?.["refresh_digest"],
  ]);
  await refresh(next);
  for (const event of ["refresh-token-repeated", "refresh-token-ahead"]) {
    expect(told()).toContainEqual(expect.objectContaining({ event, userId, sessionId }));
    seen.add(event);
  }
});

test("key events are logged, and commands keep standard output for their result", async () => {
  const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  const rotated = runProgram(["keys", "rotate"], settings);
  expect(await rotated.exit).toBe(0);
  const [keyId, ...others] = rotated.stdout;
  expect(others).toEqual([]);
  expect(JSON.parse(rotated.stderr[0] ?? "{}")).toMatchObject({ event: "signing-key-rotated", keyId });
  const revoked = runProgram(["keys", "revoke", keyId ?? ""], settings);
  expect(await revoked.exit).toBe(0);
  expect(JSON.parse(revoked.stderr[0] ?? "{}")).toMatchObject({ event: "signing-key-revoked", keyId });
  const [user] = await service.sql("UPDATE users SET password_epoch = 0 WHERE username = 'auditor' RETURNING id");
  const userId = String(user?.["id"]);
  const folder = mkdtempSync("/tmp/latchkey-audit-");
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(`${folder}/log`, JSON.stringify({ msg: "audit", event: "password-changed", userId, passwordEpoch: 1 }));
  const restored = runProgram(["restore", "--audit-log", `${folder}/log`], settings);
  expect(await restored.exit).toBe(0);
  const events = restored.stderr.map((line) => JSON.parse(line));
  expect(events).toMatchObject([
    { event: "signing-key-revoked" }, // the one that signs
    { event: "signing-key-revoked" }, // the next one
    { event: "all-sessions-ended" },
    { event: "password-disabled", userId },
    { event: "database-restored", reason: "audit-log" },
  ]);
  for (const { event } of events) seen.add(event);
  await service.send("GET", "/api/resource", { basic: ["auditor", "wrong password"] });
  const unlocked = runProgram(["users", "unlock", "AUDITOR"], settings);
  expect(await unlocked.exit).toBe(0);
  expect(JSON.parse(unlocked.stderr[0] ?? "{}")).toMatchObject({ event: "account-unlocked", userId });
  seen.add("account-unlocked");
  // Nothing is counted any more, and nobody of another name is known.
  const again = runProgram(["users", "unlock", userId.toUpperCase()], settings); // as the log has it
  expect([await again.exit, again.stderr]).toEqual([0, []]);
  expect(await runProgram(["users", "unlock", "nobody"], settings).exit).toBe(69);
  for (const { stderr } of [rotated, revoked]) seen.add(JSON.parse(stderr[0] ?? "{}").event);
});

test("an import and an export of users are audited, with their numbers", async () => {
  const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
  const exported = runProgram(["users", "export"], settings);
  expect(await exported.exit).toBe(0);
  const users = exported.stdout.length;
  const imported = runProgram(["users", "import", "-"], settings, ".", `${exported.stdout.join("\n")}\n`);
  expect(await imported.exit).toBe(0);
  for (const [{ stderr }, expected] of [
    [exported, { event: "users-exported", users }],
    [imported, { event: "users-imported", imported: 0, existing: users, refused: 0 }],
  ] as const) {
    expect(JSON.parse(stderr[0] ?? "{}")).toMatchObject({ ...expected, reason: "operator" });
    seen.add(expected.event);
  }
});

test.each([
  ["fatal", 1],
  ["silent", 0],
])("LOG_LEVEL=%s leaves %d events to be read", (level, count) => {
  const lines: string[] = [];
  auditLog(pino({ level }, { write: (line) => void lines.push(line) }))("signing-key-rotated", {});
  expect(lines.length).toBe(count);
});

test("the line of every event is urgent, except those of routine events and of requests", () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line) => void lines.push(line) });
  const events = Object.keys(auditEvents) as AuditEvent[];
  for (const event of events) auditLog(log)(event, { reason: '"event":"session-refreshed"' });
  log.info("request completed");
  const urgent = lines.filter(isUrgent).map((line) => JSON.parse(line).event);
  expect(urgent).toEqual(events.filter((event) => !onlyLogged.has(event)));
  expect(onlyLogged).toContain("client-token-issued");
});

test("an urgent line is in the pipe when the call returns, with those before it", async () => {
  const pipe = join(await temporaryFolder(), "pipe");
  execFileSync("mkfifo", [pipe]);
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  const log = createLogDestination(writer, () => {});
  // Occupies all threads, as hashes do.
  const busy = Promise.all(Array.from({ length: 8 }, () => promisify(pbkdf2)("x", "y", 100_000, 64, "sha512")));
  log.write("collected\n");
  log.write("urgent\n", { isUrgent: true });
  const bytes = Buffer.alloc(100);
  expect(bytes.toString("utf8", 0, readSync(reader, bytes))).toBe("collected\nurgent\n");
  await busy;
  closeSync(reader);
  closeSync(writer);
});

test("an event is written before the response, so that SIGKILL does not lose it", async () => {
  const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, PASSWORD_BLOCKLIST: "off" };
  const program = runProgram([], settings);
  const send = createClient(await program.url);
  expect((await send("POST", "/api/users", { json: { username: "miguel", password } })).status).toBe(201);
  const json = { current_password: password, new_password: "staple horse correct" };
  expect((await send("PUT", "/api/users/me/password", { basic: ["miguel", password], json })).status).toBe(204);
  program.process.kill("SIGKILL");
  await program.exit;
  expect(program.stdout.join("\n")).toContain('"password-changed"');
});

test("an event within a request has its id and address; one that serves everybody has not", () => {
  const lines: string[] = [];
  const audit = auditLog(pino({}, { write: (line) => void lines.push(line) }));
  const context = createRequestContext("192.0.2.7", undefined);
  runInRequest(context, () => {
    audit("token-issued", {});
    runOutsideRequest(() => audit("signing-key-rotated", {}));
  });
  audit("all-sessions-ended", {});
  expect(lines.map((line) => JSON.parse(line).req)).toEqual([
    { id: context.id, address: "192.0.2.7" },
    undefined,
    undefined,
  ]);
});

test("an event has only the members that may be recorded", () => {
  const principal = { userId: "1", sessionId: "2", epoch: 3, tokenId: "4" };
  expect(recordable(principal)).toEqual({ userId: "1", sessionId: "2" });
});

test("every event was observed, and RUNBOOK.md explains it", () => {
  expect([...seen].sort()).toEqual(Object.keys(auditEvents).sort());
  const runbook = readFileSync("RUNBOOK.md", "utf8");
  const rows = [...runbook.matchAll(/^\| `([a-z]+(?:-[a-z]+)*)` \| (.+) \|$/gm)].map(([, event, meaning]) => [
    event,
    meaning,
  ]);
  expect(rows).toEqual(Object.entries(auditEvents));
});
