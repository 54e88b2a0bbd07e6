/** Who may change a client of OAuth, and what concurrent changes leave behind. */
import { expect, test, vi } from "vitest";
import { registerClient } from "../support/oauthClients.ts";
import { holdLocks, password, startTestService } from "../support/service.ts";

const service = await startTestService();
const other = await startTestService({}, service.databaseUrl);
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, json });
const secretsOf = async (id: string) => (await asAdmin("GET", `/api/clients/${id}`)).json.secrets;
const minimumEpochOf = async (id: string) =>
  (await service.sql("SELECT minimum_epoch FROM revocations WHERE subject = $1", [`client:${id}`]))[0]?.[
    "minimum_epoch"
  ];

test("of 50 secrets that are added at once on two instances, one is accepted, so that the client has two", async () => {
  const { client_id } = await registerClient(service, admin);
  const bearer = await service.token(admin[0]);
  // The first of them wait for each other after they have counted the secrets.
  const lock = await holdLocks(service, "SELECT FROM clients WHERE id = $1 FOR UPDATE", [client_id]);
  const sent = Promise.all(
    Array.from({ length: 50 }, (_, number) =>
      (number % 2 ? service : other).send("POST", `/api/clients/${client_id}/secrets`, { bearer }),
    ),
  );
  await lock.untilWaiting(3);
  await lock.commit();
  const answers = await sent;
  const added = answers.filter(({ status }) => status === 201);
  expect(added).toHaveLength(1);
  // On a busy machine, some wait for the lock until their deadline.
  for (const { status } of answers) expect([201, 409, 503]).toContain(status);
  expect(await secretsOf(client_id)).toHaveLength(2);
});

test("of two changes that expect the same state, one is made", async () => {
  const { client_id } = await registerClient(service, admin);
  const target = `/api/clients/${client_id}`;
  const headers = { "If-Match": (await asAdmin("GET", target)).header("etag") ?? "" };
  const answers = await Promise.all(
    [service, other].map((instance, number) =>
      instance.send("PATCH", target, { basic: admin, headers, json: { name: `Name ${number}` } }),
    ),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 412]);
});

test("a change that takes rights from a client revokes its tokens, and another change does not", async () => {
  const { client_id } = await registerClient(service, admin, { scopes: ["users:read", "roles:read"] });
  const target = `/api/clients/${client_id}`;
  await asAdmin("PATCH", target, { name: "Renamed", scopes: ["users:read", "roles:read", "apis:read"] });
  expect(await minimumEpochOf(client_id)).toBe(0);
  await asAdmin("POST", `${target}/secrets`);
  expect(await minimumEpochOf(client_id)).toBe(0);
  await asAdmin("PATCH", target, { scopes: ["users:read"] });
  const narrowed = Number(await minimumEpochOf(client_id));
  expect(narrowed).toBeGreaterThan(0);
  await asAdmin("DELETE", target);
  expect(Number(await minimumEpochOf(client_id))).toBeGreaterThan(narrowed);
});

test("the deletion of a client deletes its secrets, and what users have allowed it", async () => {
  const { client_id } = await registerClient(service, admin);
  const { id } = await service.register();
  await service.sql(
    "INSERT INTO grants (id, user_id, client_id, audience, scopes) VALUES (gen_random_uuid(), $1, $2, 'orders', '{}')",
    [id, client_id],
  );
  await asAdmin("DELETE", `/api/clients/${client_id}`);
  for (const table of ["client_secrets", "grants"])
    expect(await service.sql(`SELECT FROM ${table} WHERE client_id = $1`, [client_id])).toEqual([]);
});

test("a caller without a scope of a client cannot change the client or get a secret", async () => {
  const { client_id } = await registerClient(service, admin, { scopes: ["users:write"] });
  const target = `/api/clients/${client_id}`;
  const [secret] = await secretsOf(client_id);
  await asAdmin("PUT", "/api/roles/registrar", { scopes: ["clients:read", "clients:write", "roles:read"] });
  const { id, username } = await service.register();
  await asAdmin("PATCH", `/api/users/${id}`, { roles: ["registrar"] });
  const attempts: [string, string, unknown?][] = [
    ["POST", "/api/clients", { name: "Mine", grant_types: ["client_credentials"], scopes: ["users:write"] }],
    ["PATCH", target, { name: "Mine" }],
    ["PATCH", target, { scopes: [] }],
    ["POST", `${target}/secrets`],
    ["DELETE", `${target}/secrets/${secret.id}`],
    ["DELETE", target],
  ];
  for (const [method, path, json] of attempts) {
    const answer = await service.send(method, path, { basic: [username, password], json });
    expect(answer, `${method} ${path}`).toMatchObject({ status: 403, json: { scope: "users:write" } });
  }
  expect((await asAdmin("GET", target)).json).toMatchObject({ name: "A client", secrets: [{ id: secret.id }] });
  const own = await service.send("POST", "/api/clients", {
    basic: [username, password],
    json: { name: "Mine", grant_types: ["client_credentials"], scopes: ["roles:read"] },
  });
  expect(own.status).toBe(201);
});

test("a deleted secret gets no token on any instance within a second, and the last use of each is recorded", async () => {
  const { client_id, client_secret } = await registerClient(service, admin);
  const added = (await asAdmin("POST", `/api/clients/${client_id}/secrets`)).json;
  const third = await startTestService({}, service.databaseUrl);
  const tokenOf = (secret: string, instance = third) =>
    instance.send("POST", "/oauth/token", {
      form: { grant_type: "client_credentials", client_id, client_secret: secret },
    });
  await vi.waitFor(async () => expect((await tokenOf(added.client_secret)).status).toBe(200), 5_000);
  expect((await tokenOf(client_secret)).status).toBe(200);
  const [, first] = await secretsOf(client_id);
  await asAdmin("DELETE", `/api/clients/${client_id}/secrets/${first.id}`);
  expect(await tokenOf(client_secret, service)).toMatchObject({ status: 401, json: { error: "invalid_client" } });
  await vi.waitFor(async () => expect((await tokenOf(client_secret)).status).toBe(401), 5_000);
  expect((await tokenOf(added.client_secret)).status).toBe(200);
  await third.close();
  const [{ last_used_at, last_used_network }] = await secretsOf(client_id);
  expect(Date.now() - Date.parse(last_used_at)).toBeLessThan(120_000);
  expect(last_used_network).toBe("127.0.0.1");
});

test("every change is in the audit log, and no secret is", async () => {
  const { client_id, client_secret } = await registerClient(service, admin, { scopes: ["users:read"] });
  const target = `/api/clients/${client_id}`;
  const added = (await asAdmin("POST", `${target}/secrets`)).json;
  await asAdmin("DELETE", `${target}/secrets/${added.id}`);
  await asAdmin("PATCH", target, { name: "Renamed" });
  await asAdmin("DELETE", target);
  const { json, text } = await asAdmin("GET", "/api/audit-events?limit=100");
  const events = json.events.filter(
    ({ details }: { details: Record<string, string> }) => details["client_id"] === client_id,
  );
  expect(events.map(({ event, actor }: { event: string; actor: { name: string } }) => [event, actor.name])).toEqual(
    ["client-deleted", "client-changed", "client-secret-deleted", "client-secret-created", "client-created"].map(
      (event) => [event, admin[0]],
    ),
  );
  expect(events[2].details["client_secret_id"]).toBe(added.id);
  for (const secret of [client_secret, added.client_secret]) expect(text).not.toContain(secret);
});
