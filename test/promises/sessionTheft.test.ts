/** A stolen refresh token is detected, and nothing helps to hide its use. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { expect, test, vi } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { type SessionId, storedUsername, userId as toUserId, type UserId } from "../../src/identifiers.ts";
import { networkOf } from "../../src/networks.ts";
import { refreshSecrets } from "../../src/sessions/refreshSecrets.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import { sessionStore } from "../../src/sessions/store.ts";
import { userStore } from "../../src/users/store.ts";
import { grantsOn } from "../support/accessControl.ts";
import { afterTest } from "../support/afterTest.ts";
import { password, secretKey, startTestService } from "../support/service.ts";

const service = await startTestService({ TRUST_PROXY: "loopback" });
const database = openDatabase(service.databaseUrl, 2);
afterTest(() => database.close());
/** For waits without a promised time. */
const soon = { timeout: 15_000 };
const home = "192.0.2.7";
const elsewhere = "198.51.100.9";

const from = (address: string) => ({ headers: { "x-forwarded-for": address } });
const begin = async (username: string, address = home) =>
  (await service.send("POST", "/api/sessions", { basic: [username, password], ...from(address) })).json;
const refresh = (refresh_token: string, address = home) =>
  service.send("POST", "/api/token", { json: { refresh_token }, ...from(address) });
const sessionsOf = async (username: string) =>
  (await service.send("GET", "/api/sessions", { basic: [username, password], ...from(home) })).json.sessions;
let registered = 0;
const registerAt = async (address: string) => {
  const json = { username: `owner${++registered}`, password };
  return (await service.send("POST", "/api/users", { json, ...from(address) })).json;
};
/** The known networks of a user: those proved by password first. */
const networksOf = async (userId: string) => {
  const rows = await service.sql(
    "SELECT network FROM familiar_networks WHERE user_id = $1 ORDER BY by_password DESC, network::inet",
    [userId],
  );
  return rows.map(({ network }) => network as string);
};
/** Refreshes a session from each network in turn. @returns the last token */
async function refreshFrom(addresses: string[], first: string, userId: string): Promise<string> {
  let token = first;
  for (const address of addresses) {
    token = (await refresh(token, address)).json.refresh_token;
    // It is stored after the response.
    await vi.waitFor(async () => expect(await networksOf(userId)).toContain(address), soon);
  }
  return token;
}
const eventsOf = (sessionId: string) =>
  service.log
    .map((line) => JSON.parse(line))
    .filter((line) => line.event && line.sessionId === sessionId)
    .map(({ event, reason }) => (reason ? `${event}: ${reason}` : event));
const age = (id: string, interval: string) =>
  service.sql(
    `UPDATE sessions SET recent_rotations = ARRAY(SELECT at - $2::interval FROM unnest(recent_rotations) AS at),
       created_at = created_at - $2::interval - interval '1 hour', last_used_at = last_used_at - $2::interval, idle_expires_at = idle_expires_at - $2::interval,
       listed_used_at = listed_used_at - $2::interval, listed_idle_expires_at = listed_idle_expires_at - $2::interval
     WHERE id = $1`,
    [id, interval],
  );

test("a repeat within the grace is accepted from the network of the first use, and audited", async () => {
  const { username } = await service.register();
  const first = await begin(username);
  const second = (await refresh(first.refresh_token)).json;
  expect((await refresh(first.refresh_token)).json.refresh_token).toBe(second.refresh_token);
  expect(eventsOf(first.id)).toEqual(["session-created", "session-refreshed", "refresh-token-repeated"]);
});

test.each([
  ["another network", "198.51.100.9"],
  ["an address that is none", "unknown"],
])("a repeat within the grace from %s ends the session", async (_name, address) => {
  const { username } = await service.register();
  const first = await begin(username);
  const second = (await refresh(first.refresh_token)).json;
  expect(await refresh(first.refresh_token, address)).toMatchObject({ status: 401, problem: "token-reused" });
  expect((await refresh(second.refresh_token)).problem).toBe("token-revoked");
  expect(eventsOf(first.id)).toContain("refresh-token-reused: another-network");
});

test("a token of several rotations ago is accepted from the network that used it, not from the latest", async () => {
  const { username } = await service.register();
  const first = await begin(username);
  const second = (await refresh(first.refresh_token)).json;
  const third = (await refresh(second.refresh_token, elsewhere)).json;
  expect((await refresh(first.refresh_token)).json.refresh_token).toBe(second.refresh_token);
  expect((await refresh(second.refresh_token, elsewhere)).json.refresh_token).toBe(third.refresh_token);
  expect((await refresh(first.refresh_token, elsewhere)).problem).toBe("token-reused");
});

test("addresses of one IPv6 network count as one", async () => {
  const { username } = await service.register();
  const first = await begin(username, "2001:db8::1");
  await refresh(first.refresh_token, "2001:db8::2");
  expect((await refresh(first.refresh_token, "2001:db8::3")).status).toBe(200);
  expect((await refresh(first.refresh_token, "2001:db8:0:1::3")).problem).toBe("token-reused");
});

test("the list does not reveal refreshes to a poller, and shows the last address", async () => {
  // Times are rounded to the hour, so this test must not span the beginning of one.
  const leftMs = 3_600_000 - (Date.now() % 3_600_000);
  if (leftMs < 5_000) await sleep(leftMs + 100);
  const { username } = await service.register();
  const { id, refresh_token } = await begin(username);
  await age(id, "3 hours");
  const [before] = await sessionsOf(username);
  expect(before.last_used_at).toMatch(/:00:00\.000Z$/);
  const { refresh_token: next } = (await refresh(refresh_token)).json;
  expect(await sessionsOf(username)).toEqual([before]);
  const { refresh_token: last } = (await refresh(next)).json;
  expect(await sessionsOf(username)).toEqual([before]);

  // It shows an hour later, rounded to the hour.
  await age(id, "1 hour");
  const [after] = await sessionsOf(username);
  const hours = (later: string, earlier: string) => (Date.parse(later) - Date.parse(earlier)) / 3_600_000;
  expect(hours(after.last_used_at, before.last_used_at)).toBe(2);
  expect(hours(after.expires_at, before.expires_at)).toBe(2);
  expect(hours(after.expires_at, after.last_used_at)).toBe(14 * 24 + 1);

  expect(after.address).toBe(home);
  await refresh(last, elsewhere);
  expect((await sessionsOf(username))[0].address).toBe(elsewhere);
});

test("a rotation by the previous version, which stores no network, does not affect others", async () => {
  const { username, id: userId } = await service.register();
  const first = await begin(username);
  const second = (await refresh(first.refresh_token)).json;
  // As in the previous version.
  const secrets = refreshSecrets([secretKey]);
  const [row] = await service.sql("SELECT seed FROM sessions WHERE id = $1", [first.id]);
  const third = secrets.derive(first.id, row?.["seed"] as Buffer, 2);
  await service.sql(
    `UPDATE sessions SET generation = generation + 1, refresh_digest = sha256($2::text::bytea), last_used_at = now(),
       recent_rotations = (ARRAY[now()] || recent_rotations)[1:20]
     WHERE id = $1 AND user_id = $3`,
    [first.id, third, userId],
  );
  expect((await refresh(second.refresh_token, elsewhere)).json.refresh_token).toBe(`${first.id}.${third}`);
  expect((await refresh(first.refresh_token)).json.refresh_token).toBe(second.refresh_token);
  const fourth = (await refresh(`${first.id}.${third}`)).json;
  expect((await refresh(first.refresh_token)).status).toBe(200);
  expect((await refresh(fourth.refresh_token)).status).toBe(200);
  expect((await refresh(first.refresh_token, elsewhere)).problem).toBe("token-reused");
});

test("a token lost by a failover stays valid; an older copy of it is detected", async () => {
  const { username } = await service.register();
  const tokens = [(await begin(username)).refresh_token as string];
  const [row] = await service.sql("SELECT * FROM sessions WHERE id = $1", [tokens[0]?.split(".")[0]]);
  for (let count = 0; count < 3; count += 1) tokens.push((await refresh(tokens[count] as string)).json.refresh_token);
  // The new primary has the state before the rotations.
  const id = row?.["id"] as string;
  await service.sql(
    "UPDATE sessions SET generation = $2, refresh_digest = $3, recent_rotations = '{}', rotations = '{}' WHERE id = $1",
    [id, row?.["generation"], row?.["refresh_digest"]],
  );
  const many = await Promise.all(Array.from({ length: 10 }, () => refresh(tokens[3] as string)));
  const successors = new Set(many.filter(({ status }) => status === 200).map(({ json }) => json.refresh_token));
  for (const { status, problem } of many)
    expect([status, problem]).toBeOneOf([
      [200, undefined],
      [503, "overloaded"],
    ]);
  expect(successors.size).toBe(1);
  expect(eventsOf(id)).toContain("refresh-token-ahead");
  const [successor] = successors;
  expect((await refresh(successor)).status).toBe(200);
  // In flight during the failover: the session continues from here.
  expect((await refresh(tokens[1] as string)).json.refresh_token).toBe(tokens[2]);
  await age(id, "11 seconds");
  expect((await refresh(tokens[1] as string)).problem).toBe("token-reused");
});

/** Sessions on the service's database, with some parts replaced. */
const sessionsWith = (parts: Partial<Parameters<typeof createSessions>[0]>) =>
  createSessions({
    store: sessionStore(database),
    tokens: {
      ttlSeconds: 600,
      prepare: () => async () => "unused",
    },
    grants: grantsOn(database),
    secrets: refreshSecrets([secretKey]),
    times: { idleSeconds: 1000, lifetimeSeconds: 1000, graceSeconds: 10, sessionsPerUser: 10 },
    secondsVisible: (_xid, startedSecondsAgo) => startedSecondsAgo,
    confirmServer: () => Promise.resolve(),
    enforce: () => {},
    audit: () => {},
    ...parts,
  });

test("a rotation lost by a failover while it commits ends no session", async () => {
  const { id, refresh_token } = await begin((await service.register()).username);
  // Another refresh was first, and the new primary has lost it.
  const sessions = sessionsWith({ store: { ...sessionStore(database), rotate: () => Promise.resolve(undefined) } });
  await expect(sessions.refresh(refresh_token, home)).rejects.toMatchObject({ slug: "overloaded" });
  expect(eventsOf(id)).toEqual(["session-created"]);
  expect((await refresh(refresh_token)).status).toBe(200);
});

test.each([
  ["the end of a stolen session", ({ refresh_token }: { refresh_token: string }) => refresh(refresh_token, home)],
  [
    "a refresh from a new network",
    ({ id, userId }: { id: SessionId; userId: UserId }) =>
      userStore(database).rememberNetwork({ userId, sessionId: id, network: networkOf("203.0.113.30"), key: "new" }),
  ],
])("%s and the deletion of the user lock rows in one order", async (_name, change) => {
  // As after a restore from a dump, which creates constraints in the order of table names.
  await service.sql(
    `ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey,
       ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE`,
  );
  const { id: userId, username } = await registerAt(home);
  const session = await begin(username);
  await refreshFrom([elsewhere], session.refresh_token, userId);
  const waiting = async (count: number) => {
    const locked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    await vi.waitFor(async () => expect(await service.sql(locked)).toHaveLength(count), { ...soon, interval: 5 });
  };
  const holder = new pg.Client(service.databaseUrl);
  await holder.connect();
  await holder.query("BEGIN");
  await holder.query("SELECT FROM sessions WHERE id = $1 FOR UPDATE", [session.id]);
  const changed = change({ ...session, userId });
  await waiting(1);
  const deleted = service.send("DELETE", "/api/users/me", { basic: [username, password], ...from(home) });
  await waiting(2);
  await holder.query("COMMIT");
  await holder.end();
  expect([undefined, "token-reused"]).toContain((await changed)?.problem);
  expect((await deleted).status).toBe(204);
});

test("a refresh from another network is audited", async () => {
  const { id: userId, username } = await service.register();
  const told: string[] = [];
  const sessions = sessionsWith({
    onNetworkChange: ({ userId }, network, sessionId) => void told.push(userId, network, sessionId),
  });
  const verifyAgain = () => Promise.resolve(undefined);
  const caller = { userId: toUserId(userId), username: storedUsername(username), epoch: 0 };
  const principal = { ...caller, proof: "password", epochReadAfterMs: undefined, verifyAgain } as const;
  let { refreshToken } = await sessions.create(principal, { address: home, userAgent: undefined });
  for (const address of [home, elsewhere, elsewhere, undefined, home])
    ({ refreshToken } = await sessions.refresh(refreshToken, address));
  const sessionId = refreshToken.split(".")[0];
  expect(told).toEqual([userId, elsewhere, sessionId, userId, home, sessionId]);
});

test("the network of a refresh becomes known", async () => {
  const { id, username } = await registerAt(home);
  const session = await begin(username);
  expect(await networksOf(id)).toEqual([home]);
  await refresh(session.refresh_token, elsewhere);
  await vi.waitFor(async () => expect(await networksOf(id)).toEqual([home, elsewhere]), soon);
});

test("a stolen session adds networks beside the owner's until the theft is detected", async () => {
  const { id, username } = await registerAt(home);
  const session = await begin(username);
  const thief = Array.from({ length: 10 }, (_, n) => `203.0.113.${n + 10}`);
  await refreshFrom(thief, session.refresh_token, id);
  expect(await networksOf(id)).toEqual([home, ...thief.slice(1)]);
  expect((await refresh(session.refresh_token)).problem).toBe("token-reused");
  expect(await networksOf(id)).toEqual([home]);
});

test("networks known by password are not evicted by refreshes, and evict theirs", async () => {
  const { id, username } = await registerAt(home);
  const proven = [home, ...Array.from({ length: 7 }, (_, n) => `203.0.113.${n + 10}`)];
  for (const address of proven.slice(1)) await begin(username, address);
  const learned = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];
  const session = await begin(username);
  const last = await refreshFrom(learned, session.refresh_token, id);
  expect(await networksOf(id)).toEqual([...proven, ...learned.slice(1)]);

  // The password proves one of them and another network. A refresh from there does not change that.
  await begin(username, learned[1]);
  await begin(username, "203.0.113.20");
  const all = [home, learned[1], ...proven.slice(1), "203.0.113.20"];
  expect(await networksOf(id)).toEqual(all);
  await refreshFrom([home], last, id);
  const store = userStore(database);
  const other = (network: string) =>
    store.rememberNetwork({ userId: id, sessionId: session.id, network: networkOf(network), key: `key of ${network}` });
  await other("198.51.100.4");
  expect(await networksOf(id)).toEqual(all);
  expect((await refresh(session.refresh_token)).problem).toBe("token-reused");
  expect(await networksOf(id)).toEqual(all);

  // Of the proved ones, the oldest is evicted.
  await service.sql(
    "UPDATE familiar_networks SET last_seen_at = last_seen_at - interval '1 hour' WHERE user_id = $1 AND network = $2",
    [id, home],
  );
  await begin(username, "203.0.113.21");
  expect(await networksOf(id)).toEqual([...all.slice(1), "203.0.113.21"]);
});

/** Lets `waiting` wait for a lock held by a transaction of these statements, then commits. */
async function commitWhile<T>(statements: [string, unknown[]][], waiting: () => Promise<T>): Promise<T> {
  const client = new pg.Client(service.databaseUrl);
  await client.connect();
  try {
    await client.query("BEGIN");
    for (const [text, values] of statements) await client.query(text, values);
    const result = waiting();
    const locked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    await vi.waitFor(async () => expect(await service.sql(locked)).not.toEqual([]), soon);
    await client.query("COMMIT");
    return await result;
  } finally {
    await client.end();
  }
}

test("a network that a refresh adds during or after the detection is removed", async () => {
  const { id, username } = await registerAt(home);
  const session = await begin(username);
  await refreshFrom([elsewhere], session.refresh_token, id);
  // As rememberNetwork does, before its commit.
  const insertion = "INSERT INTO familiar_networks (user_id, network, by_password) VALUES ($1, '203.0.113.10', false)";
  const found = await commitWhile(
    [
      ["SELECT FROM sessions WHERE id = $1 FOR SHARE", [session.id]],
      [insertion, [id]],
    ],
    () => refresh(session.refresh_token),
  );
  expect(found.problem).toBe("token-reused");
  const late = { network: networkOf("203.0.113.11"), key: "late" };
  await userStore(database).rememberNetwork({ userId: id, sessionId: session.id, ...late });
  expect(await networksOf(id)).toEqual([home]);

  // The reverse: the end of the session has not committed.
  const next = await begin(username);
  await commitWhile([["UPDATE sessions SET ended_at = now() WHERE id = $1", [next.id]]], () =>
    userStore(database).rememberNetwork({ userId: id, sessionId: next.id, ...late }),
  );
  expect(await networksOf(id)).toEqual([home]);
});

test("a refresh does not evict a network that a password proves at the same time", async () => {
  const { id, username } = await registerAt(home);
  const session = await begin(username);
  const learned = Array.from({ length: 9 }, (_, n) => `203.0.113.${n + 10}`);
  await refreshFrom(learned, session.refresh_token, id);
  const proof = "UPDATE familiar_networks SET by_password = true WHERE user_id = $1 AND network = $2";
  await commitWhile([[proof, [id, learned[0]]]], () =>
    userStore(database).rememberNetwork({
      userId: id,
      sessionId: session.id,
      network: networkOf(elsewhere),
      key: "another",
    }),
  );
  expect(await networksOf(id)).toEqual([home, learned[0], elsewhere, ...learned.slice(1)]);
});
