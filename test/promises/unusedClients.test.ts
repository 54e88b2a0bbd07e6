/** Unused clients are deleted if they registered themselves or were read from a document. Others are kept. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { unusedClients } from "../../src/clients/unused/store.ts";
import { cleanUp } from "../../src/database/cleanup.ts";
import { openDatabase } from "../../src/database/database.ts";
import { afterTest } from "../support/afterTest.ts";
import { challengeOf, issueCode, redirectUri } from "../support/oauthCodes.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService({ CLIENT_REGISTRATION: "on" });
const database = openDatabase(service.databaseUrl, 4);
afterTest(() => database.close());
const admin = await service.administrator();
const { id: userId } = await service.register("miguel");
afterEach(() => service.sql("DELETE FROM clients"));
const clean = () => cleanUp(database, { others: [unusedClients] });

const metadata = { client_name: "App", redirect_uris: [redirectUri], token_endpoint_auth_method: "none" };
const register = async (): Promise<string> =>
  (await service.send("POST", "/oauth/register", { json: metadata })).json.client_id;
/** Makes all times of clients earlier. */
const wait = (days: number) =>
  service.sql(
    `UPDATE clients SET created_at = created_at - make_interval(days => $1), updated_at = updated_at - make_interval(days => $1),
       last_used_at = last_used_at - make_interval(days => $1)`,
    [days],
  );
const isKept = async (id: string): Promise<boolean> =>
  (await service.sql("SELECT FROM clients WHERE id = $1", [id])).length > 0;
const redeem = async (id: string) => {
  const form = await issueCode(service, { clientId: id, userId });
  return service.send("POST", "/oauth/token", { form: { ...form, client_id: id } });
};

test("a client that was not used for 30 days after its registration is deleted everywhere, with an event", async () => {
  const id = await register();
  await wait(29);
  expect([await clean(), await isKept(id)]).toEqual([{}, true]);
  const challenge = `code_challenge=${challengeOf("verifier")}&code_challenge_method=S256`;
  const authorize = `/oauth/authorize?client_id=${id}&response_type=code&${challenge}`;
  expect((await service.send("GET", authorize)).status).toBe(303);
  await wait(2);
  expect([await clean(), await isKept(id)]).toEqual([{ clients: 1 }, false]);
  await expect.poll(async () => (await service.send("GET", authorize)).status, { timeout: 5_000 }).toBe(400);
  const events = await service.send("GET", "/api/audit-events?event=client-deleted", { basic: admin });
  expect(events.json.events).toEqual([
    expect.objectContaining({
      actor: { id: null, name: null },
      details: { client_id: id, reason: "unused", scope: expect.any(String) },
    }),
  ]);
});

test("the document of a client is forgotten as well, unless an administrator made the client first-party", async () => {
  const insert = (id: string, isFirstParty: boolean) =>
    service.sql(
      `INSERT INTO clients (id, name, registration, authentication, grant_types, is_first_party, updated_at)
       VALUES ($1, 'App', 'metadata-document', 'none', '{authorization_code}', $2, now() + interval '1 hour')`,
      [id, isFirstParty],
    );
  await insert("https://app.example/client.json", false);
  await insert("https://own.example/client.json", true);
  await wait(31);
  expect(await clean()).toEqual({ clients: 1 });
  expect(await isKept("https://own.example/client.json")).toBe(true);
});

test("a client that an administrator has registered or changed is kept", async () => {
  const made = await service.send("POST", "/api/clients", {
    basic: admin,
    json: { name: "Report", grant_types: ["client_credentials"], scopes: ["users:read"] },
  });
  const changed = await register();
  const change = { basic: admin, json: { name: "Known" } };
  expect((await service.send("PATCH", `/api/clients/${changed}`, change)).status).toBe(200);
  await wait(1_000);
  expect([await clean(), await isKept(made.json.client_id), await isKept(changed)]).toEqual([{}, true, true]);
});

test("a client is kept as long as a user allows it something, and for 30 days after that", async () => {
  const id = await register();
  expect((await redeem(id)).status).toBe(200);
  for (const table of ["authorization_codes", "sessions", "grants"]) {
    await wait(400);
    expect([await clean(), await isKept(id)]).toEqual([{}, true]);
    await service.sql(`DELETE FROM ${table} WHERE client_id = $1`, [id]);
  }
  await wait(29);
  expect([await clean(), await isKept(id)]).toEqual([{}, true]);
  await wait(2);
  expect([await clean(), await isKept(id)]).toEqual([{ clients: 1 }, false]);
});

test.each<[string, (id: string) => Promise<unknown>]>([
  [
    "a session",
    (id) =>
      service.sql(
        `INSERT INTO sessions (id, user_id, user_epoch, client_id, seed, refresh_digest, idle_expires_at, expires_at, tokens_expire_at)
         VALUES ($1, $2, 0, $3, '', '', now() + interval '1 day', now() + interval '1 day', now())`,
        [randomUUID(), userId, id],
      ),
  ],
  [
    "a request that a user is looking at",
    (id) =>
      service.sql(
        `INSERT INTO authorizations (id, user_id, client_id, client_version, audience, scopes, expires_at)
         VALUES ($1, $2, $3, 1, 'a', '{}', now() + interval '1 minute')`,
        [randomUUID(), userId, id],
      ),
  ],
  [
    "a pending device code",
    (id) =>
      service.sql(
        `INSERT INTO device_codes (digest, user_code_hmac, client_id, audience, scopes, expires_at, interval_seconds)
         VALUES ('1', '1', $1, 'a', '{}', now() + interval '1 minute', 5)`,
        [id],
      ),
  ],
])("a client with %s is kept", async (_label, insert) => {
  const id = await register();
  await insert(id);
  await wait(31);
  expect([await clean(), await isKept(id)]).toEqual([{}, true]);
});

test("of the clients that were never used, the newest 10,000 are kept, and pending device codes keep no others", async () => {
  const used = await register();
  await redeem(used);
  const [oldest, newest] = [await register(), await register()];
  await service.sql("UPDATE clients SET created_at = now() - interval '1 day', updated_at = created_at WHERE id = $1", [
    oldest,
  ]);
  await service.sql("UPDATE clients SET updated_at = created_at WHERE id = $1", [oldest]);
  await service.sql(
    `INSERT INTO device_codes (digest, user_code_hmac, client_id, audience, scopes, expires_at, interval_seconds)
     VALUES ('2', '2', $1, 'a', '{}', now() + interval '1 minute', 5)`,
    [oldest],
  );
  await service.sql(
    `INSERT INTO clients (id, name, registration, authentication, grant_types, created_at, updated_at)
     SELECT 'lkc_' || n, 'Flood', 'dynamic', 'none', '{authorization_code}', time, time
     FROM generate_series(1, 11500) AS n, LATERAL (SELECT now() - n * interval '1 second' AS time) AS times`,
  );
  // Without `oldest` and `newest`, 11,500 were never used.
  expect(await clean()).toEqual({ clients: 1_502 });
  expect([await isKept(used), await isKept(oldest), await isKept(newest)]).toEqual([true, false, true]);
  expect([await isKept("lkc_9999"), await isKept("lkc_10000")]).toEqual([true, false]);
});

test("a client that is being used at this moment is kept", async () => {
  const id = await register();
  await wait(31);
  const user = new pg.Client(service.databaseUrl);
  await user.connect();
  await user.query("BEGIN");
  await user.query(
    "INSERT INTO grants (id, user_id, client_id, audience, scopes) VALUES (gen_random_uuid(), $1, $2, 'a', '{}')",
    [userId, id],
  );
  expect(await clean()).toEqual({});
  await user.query("COMMIT");
  await user.end();
  expect([await clean(), await isKept(id)]).toEqual([{}, true]);
});
