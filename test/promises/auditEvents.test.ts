/** Audit events are stored: those of changes with the change, others within a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type AuditEvent, storedWithChange } from "../../src/audit/audit.ts";
import { startAuditWriter } from "../../src/audit/writer.ts";
import { openConsent, registerApp, requestOf, signedInBrowser } from "../support/authorizations.ts";
import type { Received } from "../support/client.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { openBrowser, pageOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { issueCode, redirectUri } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService({ REFRESH_GRACE_SECONDS: "0", SESSIONS_PER_USER: "1" });
const storedFor = ({ header }: Received) =>
  service.sql("SELECT * FROM audit_events WHERE request_id = $1 ORDER BY id", [header("x-request-id")]);
const loggedFor = ({ header }: Received) =>
  service.log.map((line) => JSON.parse(line)).filter(({ event, req }) => event && req?.id === header("x-request-id"));
const seen = new Set<AuditEvent>();

/** The events of changes are stored before the response, once each. */
async function expectStored(
  answer: Received,
  subject: { id: string | null; name: string | null },
  actorId: string | null,
  details: object = {},
) {
  const changes = loggedFor(answer).filter(({ event }) => storedWithChange.has(event));
  expect(changes.length).toBeGreaterThan(0);
  const rows = (await storedFor(answer)).filter(({ event }) => storedWithChange.has(event as AuditEvent));
  expect(rows.map(({ event }) => event).sort()).toEqual(changes.map(({ event }) => event).sort());
  for (const row of rows) {
    expect(row).toMatchObject({ subject_id: subject.id, subject_name: subject.name, actor_id: actorId });
    expect(row).toMatchObject({ address: "127.0.0.1", details });
    seen.add(row["event"] as AuditEvent);
  }
}

test("the session of a code that is used again ends with its event", async () => {
  const owner = await service.register("code-owner");
  const basic = await service.administrator("registrar");
  const members = { public: true, grant_types: ["authorization_code"], redirect_uris: [redirectUri] };
  const { client_id } = await registerClient(service, basic, members);
  const code = await issueCode(service, { clientId: client_id, userId: owner.id });
  const redeem = () => service.send("POST", "/oauth/token", { form: { ...code, client_id } });
  const subject = { id: owner.id, name: owner.username };
  await expectStored(await redeem(), subject, null, { client_id });
  await expectStored(await redeem(), subject, null);
});

test("the decision about a device, and the end of its session when the code is used again", async () => {
  const owner = await service.register("device-owner");
  const subject = { id: owner.id, name: owner.username };
  const { id } = await insertClient(service, { authentication: "none" });
  const start = { client_id: id, scope: "openid" };
  const { device_code, user_code } = (await service.send("POST", "/oauth/device-authorization", { form: start })).json;
  const browser = openBrowser(service);
  await browser.signIn(await browser.go("GET", "/oauth/device"), owner.username);
  const confirm = await browser.submit(await browser.go("GET", "/oauth/device"), { user_code });
  const decided = pageOf(await browser.submit(confirm, { decision: "allow" })).page;
  await expectStored(decided, subject, null, { client_id: id, reason: "allowed", scope: "openid" });
  const form = { grant_type: deviceCodeGrant, device_code, client_id: id };
  await service.send("POST", "/oauth/token", { form });
  await service.sql("UPDATE device_codes SET redeemed_at = now() - interval '1 minute'");
  await expectStored(await service.send("POST", "/oauth/token", { form }), subject, null);
});

test("the event of a change is stored with the change", async () => {
  const registered = await service.send("POST", "/api/users", { json: { username: "miguel", password } });
  const { id } = registered.json;
  const miguel = { id, name: "miguel" };
  await expectStored(registered, miguel, null);
  const basic: [string, string] = ["miguel", password];
  const session = await service.send("POST", "/api/sessions", { basic });
  await expectStored(session, miguel, id);
  const next = await service.send("POST", "/api/sessions", { basic });
  await expectStored(next, miguel, id);
  const { refresh_token } = next.json;
  await service.send("POST", "/api/token", { json: { refresh_token } });
  const reused = await service.send("POST", "/api/token", { json: { refresh_token } });
  expect(reused.problem).toBe("token-reused");
  await expectStored(reused, miguel, null);
  const third = (await service.send("POST", "/api/sessions", { basic })).json;
  await expectStored(await service.send("DELETE", `/api/sessions/${third.id}`, { basic }), miguel, id);
  const bearer = await service.token("miguel");
  await expectStored(await service.send("DELETE", "/api/token", { bearer }), miguel, id);
  const changed = { current_password: password, new_password: "staple horse correct" };
  await expectStored(await service.send("PUT", "/api/users/me/password", { basic, json: changed }), miguel, id);
  const renewed: [string, string] = ["miguel", changed.new_password];
  await expectStored(await service.send("DELETE", "/api/sessions", { basic: renewed }), miguel, id);
  const bearerToEnd = (await service.send("GET", "/api/token", { basic: renewed })).json.token;
  await expectStored(await service.send("DELETE", "/api/sessions", { bearer: bearerToEnd }), miguel, id);
  await expectStored(await service.send("DELETE", "/api/users/me", { basic: renewed }), miguel, id);
});

test("the event of a change of a role or an API is stored with the change", async () => {
  const basic = await service.administrator("overseer");
  const { id } = (await service.send("GET", "/api/users/me", { basic })).json;
  const expectChange = async (details: object, method: string, target: string, json?: object) => {
    const answer = await service.send(method, target, { basic, ...(json && { json }) });
    await expectStored(answer, { id: null, name: null }, id, details);
  };
  const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
  const orders = { audience: "orders", scope: "orders:read orders:write" };
  await expectChange(orders, "POST", "/api/apis", { audience: "orders", name: "Orders", scopes });
  await expectChange({ audience: "orders", scope: "" }, "PATCH", "/api/apis/orders", { scopes: [] });
  await expectChange({ audience: "orders" }, "DELETE", "/api/apis/orders");
  await expectChange({ role: "clerk", scope: "" }, "PUT", "/api/roles/clerk", { scopes: [] });
  const clerk = { role: "clerk", scope: "apis:read roles:read" };
  await expectChange(clerk, "PUT", "/api/roles/clerk", { scopes: ["roles:read", "apis:read"] });
  await expectChange({ role: "clerk" }, "DELETE", "/api/roles/clerk");
});

test("the event of a change of a client is stored with the change", async () => {
  const basic = await service.administrator("custodian");
  const { id } = (await service.send("GET", "/api/users/me", { basic })).json;
  const change = async (method: string, target: string, json?: object) => {
    const answer = await service.send(method, target, { basic, ...(json && { json }) });
    const client_id = answer.json?.client_id ?? target.split("/")[3];
    await expectStored(answer, { id: null, name: null }, id, { client_id });
    return answer.json;
  };
  const members = { name: "Report", grant_types: ["client_credentials"], scopes: [] };
  const path = `/api/clients/${(await change("POST", "/api/clients", members)).client_id}`;
  await change("PATCH", path, { scopes: ["users:read"] });
  const secret = await change("POST", `${path}/secrets`);
  await change("DELETE", `${path}/secrets/${secret.id}`);
  await change("DELETE", path);
});

test("the event of a decision about a client, and of its withdrawal, is stored with it", async () => {
  const registrar = await service.administrator("decisions");
  const owner = await service.register("deciding");
  const subject = { id: owner.id, name: owner.username };
  const app = await registerApp(service, registrar);
  const details = { client_id: app.client_id };
  const browser = await signedInBrowser(service, owner.username, app);
  for (const decision of ["deny", "allow"] as const) {
    const authorization = await openConsent(browser, requestOf(app).query);
    await expectStored(await browser.decide(authorization, decision), subject, null, details);
  }
  const basic: [string, string] = [owner.username, password];
  const [grant] = (await service.send("GET", "/api/grants", { basic })).json.grants;
  await expectStored(await service.send("DELETE", `/api/grants/${grant.id}`, { basic }), subject, owner.id, details);
});

test("the event of a change of an API key is stored with the change", async () => {
  const miguel = await service.register("keyholder");
  const basic: [string, string] = ["keyholder", password];
  const subject = { id: miguel.id, name: "keyholder" };
  const send = (method: string, target: string, json?: object) =>
    service.send(method, target, { basic, ...(json && { json }) });
  const created = await send("POST", "/api/api-keys", { name: "first", scopes: [] });
  const { id, key } = created.json;
  await expectStored(created, subject, miguel.id, { api_key_id: id });
  await expectStored(await send("PATCH", `/api/api-keys/${id}`, { name: "renamed" }), subject, miguel.id);
  const rotated = await send("POST", `/api/api-keys/${id}/rotations`, { overlap_seconds: 60 });
  await expectStored(rotated, subject, miguel.id, { api_key_id: id });
  const reported = await service.send("POST", "/api/api-keys/revocations", { json: { key } });
  await expectStored(reported, subject, null, { api_key_id: id });
  const second = (await send("POST", "/api/api-keys", { name: "second", scopes: [] })).json.id;
  await expectStored(await send("DELETE", `/api/api-keys/${second}`), subject, miguel.id, { api_key_id: second });
});

test("the event of an administrator's change is stored with the change", async () => {
  const basic = await service.administrator("administrating");
  const actor = (await service.send("GET", "/api/users/me", { basic })).json.id;
  const send = (method: string, target: string, json?: object) =>
    service.send(method, target, { basic, ...(json && { json }) });
  const created = await send("POST", "/api/users", { username: "administered", password, roles: ["administrator"] });
  const { id } = created.json;
  const subject = { id, name: "administered" };
  await expectStored(created, subject, actor);
  for (const change of [{ roles: [] }, { blocked: true }, { blocked: false }]) {
    await expectStored(await send("PATCH", `/api/users/${id}`, change), subject, actor);
  }
  const json = { new_password: "staple horse correct" };
  await expectStored(await send("PUT", `/api/users/${id}/password`, json), subject, actor);
  await expectStored(await send("DELETE", `/api/users/${id}/sessions`), subject, actor);
  await expectStored(await send("DELETE", `/api/users/${id}`), subject, actor);
});

test("a change whose event cannot be stored is not made", async () => {
  await service.sql("ALTER TABLE audit_events RENAME TO audit_events_gone");
  const refused = await service.send("POST", "/api/users", { json: { username: "unrecorded", password } });
  await service.sql("ALTER TABLE audit_events_gone RENAME TO audit_events");
  expect(refused.status).toBe(500);
  expect(await service.sql("SELECT FROM users WHERE username = 'unrecorded'")).toEqual([]);
});

test("other events are stored within a second, also after an outage", async () => {
  const { id } = await service.register("later");
  const find = () =>
    service.sql("SELECT * FROM audit_events WHERE event = 'password-refused' AND subject_id = $1", [id]);
  await service.send("GET", "/api/resource", { basic: ["later", "wrong password"] });
  await expect
    .poll(find, { timeout: 1_500 })
    .toMatchObject([{ subject_name: "later", details: { reason: "wrong-password" } }]);
  await service.sql("ALTER TABLE audit_events RENAME TO audit_events_gone");
  await service.send("GET", "/api/resource", { basic: ["later", "wrong password"] });
  await sleep(1_000); // the writer fails at least once
  await service.sql("ALTER TABLE audit_events_gone RENAME TO audit_events");
  await expect.poll(find, { timeout: 10_000 }).toHaveLength(2);
});

test("a refused request is recorded with its user as the actor, in the order of its events", async () => {
  const { id } = await service.register("curious");
  const basic: [string, string] = ["curious", password];
  const requests = Array.from({ length: 5 }, () => service.send("GET", "/api/users", { basic }));
  for (const refused of await Promise.all(requests)) {
    expect(refused.problem).toBe("insufficient-scope");
    const stored = { actor_id: id, actor_name: "curious", subject_id: id };
    await expect
      .poll(() => storedFor(refused), { timeout: 5_000 })
      .toMatchObject([
        { event: "password-accepted", ...stored },
        { event: "scope-refused", ...stored, details: { scope: "users:read" } },
      ]);
  }
});

test("events that are stored together keep their order", async () => {
  const { id } = await service.register("several");
  const names = ["unknown", "several", "unknown", "several", "unknown"];
  const expected: { request_id: string | undefined; subject_id: string | null }[] = [];
  for (const name of names) {
    const { header } = await service.send("GET", "/api/resource", { basic: [name, "wrong password"] });
    expected.push({ request_id: header("x-request-id"), subject_id: name === "several" ? id : null });
  }
  const stored = () =>
    service.sql(
      `SELECT request_id, subject_id FROM audit_events
       WHERE event = 'password-refused' AND request_id = ANY ($1) ORDER BY id`,
      [expected.map(({ request_id }) => request_id)],
    );
  await expect.poll(stored, { timeout: 5_000 }).toHaveLength(names.length);
  expect(await stored()).toEqual(expected);
});

test("a shutdown stores what is waiting", async () => {
  const other = await startTestService({}, service.databaseUrl);
  const refused = await other.send("GET", "/api/resource", { basic: ["nobody", "wrong password"] });
  await other.close();
  expect(await storedFor(refused)).toMatchObject([{ event: "password-refused", subject_id: null }]);
});

test("a flood of refusals is stored in part only, and other events are not affected", async () => {
  const batches: number[] = [];
  const stored = new Map<string, number>();
  const writer = startAuditWriter({
    store: {
      async insertAll(rows) {
        batches.push(rows.length);
        for (const { event } of rows) stored.set(event, (stored.get(event) ?? 0) + 1);
      },
    },
    clock: () => new Date(),
    onError: () => {},
  });
  for (let count = 0; count < 5_000; count += 1) writer.store("token-refused", { reason: "invalid-token" });
  for (let count = 0; count < 2_000; count += 1) writer.store("password-accepted", {});
  await writer.close();
  expect(stored.get("token-refused")).toBeGreaterThanOrEqual(1_000);
  expect(stored.get("token-refused")).toBeLessThan(1_100);
  expect(stored.get("password-accepted")).toBe(2_000);
  expect(writer.dropped()).toBe(5_000 - (stored.get("token-refused") ?? 0));
  expect(Math.max(...batches)).toBeLessThanOrEqual(500);
});

test("each event of a change was observed", () => {
  expect([...seen].sort()).toEqual([...storedWithChange].sort());
});
