/** A follower of the revocation list sees every entry, promptly, through any instance, and costs little while it waits. */
import { once } from "node:events";
import { connect } from "node:net";
import pg from "pg";
import { describe, expect, test, vi } from "vitest";
import { encodeCursor, parseCursor } from "../../src/revocations/cursor.ts";
import { createKey } from "../support/apiKeys.ts";
import { basicAuthorization, type Received } from "../support/client.ts";
import { createFollower, revocationsAfter } from "../support/follower.ts";
import { password, startTestService, type TestService } from "../support/service.ts";

const here = await startTestService({ METRICS_PORT: "0" });
const there = await startTestService({}, here.databaseUrl);
const basic = await here.administrator();
const { username } = await here.register();

const metrics = async (service: TestService): Promise<string> => {
  const { url } = JSON.parse(service.log.find((line) => line.includes('"metrics"')) ?? "{}");
  return (await fetch(url)).text();
};
const metric = async (name: string, service = here): Promise<number> =>
  Number(
    (await metrics(service))
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")[1],
  );
const held = (service = here) => metric("latchkey_revocation_followers", service);
const untilHeld = (count: number, service = here) =>
  vi.waitUntil(async () => (await held(service)) === count, { timeout: 5_000, interval: 5 });

const idOf = (token: string): string => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).jti;
/** Revokes a token. Returns its `jti`. */
async function revokeToken(service = here): Promise<string> {
  const bearer = await service.token(username);
  expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
  return idOf(bearer);
}
const insert = "INSERT INTO revocations (subject, minimum_epoch, expires_at) VALUES ($1, $2, now() + '1 hour')";
const subjectsOf = ({ json }: Received): string[] => json.entries.map(({ subject }: { subject: string }) => subject);

/** A follower that has read the whole list. */
async function startFollower(service = here) {
  const follower = createFollower({ basic });
  await follower.catchUp(service.send);
  return follower;
}

describe("a follower", () => {
  test("receives a revocation of either instance within a second, while it waits at the other one", async () => {
    const follower = await startFollower();
    const times: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const [at, revokes] = round % 2 === 0 ? [here, there] : [there, here];
      const bearer = await revokes.token(username);
      let hasEnded = false;
      const waiting = follower.poll(at.send, 10).finally(() => {
        hasEnded = true;
      });
      // The entry of the previous round may end it at once: this instance may read it only now.
      if (at === here)
        await vi.waitUntil(async () => hasEnded || (await held()) === 1, { timeout: 5_000, interval: 5 });
      expect((await revokes.send("DELETE", "/api/token", { bearer })).status).toBe(204);
      const began = performance.now();
      await waiting;
      while (!follower.minimumEpochs.has(idOf(bearer))) await follower.poll(at.send, 1);
      times.push(performance.now() - began);
      expect(times.at(-1)).toBeLessThan(1_000);
    }
    console.info(`received after ${times.sort((a, b) => a - b)[5]?.toFixed(1)} ms (median of ten)`);
  });

  test("gets an empty response with a usable cursor if nothing is revoked", async () => {
    const follower = await startFollower();
    const began = performance.now();
    const { json } = await follower.poll(here.send, 1);
    expect(performance.now() - began).toBeGreaterThanOrEqual(990);
    expect(json).toMatchObject({ entries: [], has_more: false });
    const id = await revokeToken(there);
    expect(subjectsOf(await follower.poll(here.send, 10))).toContain(id);
  });

  test("learns a time up to which it knows everything, which is never later than the response", async () => {
    const follower = await startFollower();
    for (const wait of [0, 1]) {
      const sentMs = performance.now();
      const { json } = await follower.poll(here.send, wait);
      const ageMs = performance.now() - (sentMs + json.complete_at_offset_ms);
      expect(ageMs).toBeGreaterThan(0);
      expect(ageMs).toBeLessThan(2_500); // the list is confirmed each second
    }
  });

  test("is not told again what it has been told, if it stays or if it alternates between instances", async () => {
    const follower = await startFollower();
    await revokeToken();
    await follower.poll(here.send, 10);
    await vi.waitUntil(async () => (await follower.poll(there.send)).json.entries.length === 0, { timeout: 5_000 });
    for (const service of [here, there, here, there]) {
      expect((await follower.poll(service.send)).json).toMatchObject({ entries: [], has_more: false });
    }
  });

  test("that has an old cursor is answered from the database, also by an instance that has just started", async () => {
    const follower = await startFollower();
    const late = new pg.Client(here.databaseUrl);
    await late.connect();
    await late.query("BEGIN");
    await late.query(insert, ["a transaction that commits late", 1]);
    const early = await revokeToken();
    const stale = createFollower({ basic });
    stale.cursor = follower.cursor;
    expect(subjectsOf(await stale.poll(here.send, 10))).toEqual([early]);
    await late.query("COMMIT");
    await late.end();
    const expected = [early, "a transaction that commits late"].sort();
    const fresh = await startTestService({}, here.databaseUrl);
    for (const service of [here, fresh]) {
      const again = createFollower({ basic });
      again.cursor = follower.cursor;
      await again.catchUp(service.send);
      expect([...again.minimumEpochs.keys()].sort()).toEqual(expected);
    }
    // The late entry has a lower transaction than the cursor has already passed.
    expect(subjectsOf(await stale.poll(here.send, 10))).toEqual(["a transaction that commits late"]);
    await fresh.close();
  });

  test("that is thousands of entries behind gets them in pages, from memory and from the database", async () => {
    const follower = await startFollower();
    for (const count of [2500, 12_000]) {
      const before = follower.cursor;
      const rows = await here.sql(
        `INSERT INTO revocations (subject, minimum_epoch, expires_at)
          SELECT gen_random_uuid(), 1, now() + interval '1 hour' FROM generate_series(1, $1) RETURNING subject`,
        [count],
      );
      follower.minimumEpochs.clear();
      await follower.poll(here.send, 10);
      await follower.catchUp(here.send);
      expect(follower.minimumEpochs.size).toBe(count);
      // Each page is understood by the other instance.
      const alternating = createFollower({ basic });
      alternating.cursor = before;
      for (let page = 0; page < 100; page += 1) {
        const { json } = await alternating.poll((page % 2 === 0 ? here : there).send);
        if (!json.has_more && alternating.minimumEpochs.size >= count) break;
      }
      expect(rows.filter(({ subject }) => !alternating.minimumEpochs.has(String(subject)))).toEqual([]);
    }
  });

  test("that reads the list in pages does not miss a transaction that commits behind it", async () => {
    const late = new pg.Client(here.databaseUrl);
    await late.connect();
    await late.query("BEGIN");
    await late.query(insert, ["behind the first page", 1]); // has a lower transaction than the rows below
    // Pages are shared for some seconds, and those of an instance that others have asked could be from before.
    const fresh = await startTestService({}, here.databaseUrl);
    const [row] = await here.sql(
      `INSERT INTO revocations (subject, minimum_epoch, expires_at)
        SELECT gen_random_uuid(), 1, now() + interval '1 hour' FROM generate_series(1, 2500) RETURNING subject`,
    );
    const other = await startFollower(here);
    const follower = createFollower({ basic });
    let pagesBehind = 0;
    while ((await follower.poll(fresh.send)).json.has_more) {
      if (!follower.minimumEpochs.has(String(row?.["subject"]))) continue;
      pagesBehind += 1;
      if (pagesBehind > 1) continue;
      await late.query("COMMIT");
      await vi.waitUntil(async () => {
        await other.poll(fresh.send, 1);
        return other.minimumEpochs.has("behind the first page");
      }, 5_000);
    }
    expect(pagesBehind).toBeGreaterThan(0);
    expect(follower.minimumEpochs.has("behind the first page")).toBe(true);
    await late.end();
    await fresh.close();
  });

  test("misses none of many concurrent revocations, whichever instance it asks", { timeout: 30_000 }, async () => {
    const follower = await startFollower();
    const services = [here, there];
    const anyOf = () => services[Math.floor(2 * Math.random())] ?? here;
    const expected: string[] = [];
    let isDone = false;
    const revokers = Array.from({ length: 4 }, async () => {
      for (let count = 0; count < 15; count += 1) expected.push(await revokeToken(anyOf()));
    });
    // Transactions that commit in another order than that of their ids.
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      const client = new pg.Client(here.databaseUrl);
      await client.connect();
      for (let count = 0; count < 25; count += 1) {
        const subjects = [0, 1, 2].map((part) => `hammer-${writer}-${count}-${part}`);
        await client.query("BEGIN");
        for (const subject of subjects) {
          await client.query(insert, [subject, 1]);
          await client.query("SELECT pg_sleep($1)", [0.01 * Math.random()]);
        }
        await client.query("COMMIT");
        expected.push(...subjects);
      }
      await client.end();
    });
    const followed = (async () => {
      for (let polls = 0; polls < 10_000; polls += 1) {
        const answer = await follower.poll(anyOf().send, isDone ? 0 : 1);
        expect(answer.status).toBe(200);
        if (isDone && expected.every((subject) => follower.minimumEpochs.has(subject))) return;
      }
    })();
    await Promise.all([...revokers, ...writers]);
    isDone = true;
    await followed;
    expect(expected.filter((subject) => !follower.minimumEpochs.has(subject))).toEqual([]);
    expect(follower.restarts).toBe(0);
  });
});

describe("a follower whose credential ends while it waits", () => {
  const reader = async (name: string) => {
    const user = await here.register(`${name}-reader`);
    const role = `${name}-feed`;
    const scopes = ["revocations:read"];
    expect((await here.send("PUT", `/api/roles/${role}`, { basic, json: { scopes } })).status).toBe(201);
    expect((await here.send("PATCH", `/api/users/${user.id}`, { basic, json: { roles: [role] } })).status).toBe(200);
    const key = await createKey(here, user.username, { scopes });
    return { ...user, role, key };
  };
  type Reader = Awaited<ReturnType<typeof reader>>;

  test.each<[string, (reader: Reader) => Promise<Received>, number]>([
    [
      "a deleted key",
      ({ username, key }) => here.send("DELETE", `/api/api-keys/${key.id}`, { basic: [username, password] }),
      401,
    ],
    [
      "a narrowed key",
      ({ username, key }) =>
        here.send("PATCH", `/api/api-keys/${key.id}`, { basic: [username, password], json: { scopes: [] } }),
      403,
    ],
    ["a narrowed role", ({ role }) => here.send("PUT", `/api/roles/${role}`, { basic, json: { scopes: [] } }), 403],
    ["a lost role", ({ id }) => here.send("PATCH", `/api/users/${id}`, { basic, json: { roles: [] } }), 403],
    ["a blocked user", ({ id }) => here.send("PATCH", `/api/users/${id}`, { basic, json: { blocked: true } }), 401],
  ])(
    "%s: the response comes within a second, without entries, and the next one is a refusal",
    async (name, end, status) => {
      const one = await reader(name.replaceAll(" ", "-"));
      const follower = createFollower({ bearer: one.key.key });
      await follower.catchUp(here.send);
      const { cursor } = follower;
      const answer = follower.poll(here.send, 10);
      await untilHeld(1);
      const began = performance.now();
      expect((await end(one)).status).toBeLessThan(300);
      const { json } = await answer;
      expect(performance.now() - began).toBeLessThan(1_000);
      expect(json).toMatchObject({ entries: [], next: cursor, has_more: true });
      expect((await follower.poll(here.send, 10)).status).toBe(status);
    },
  );

  test("other followers get the entries of all of them", async () => {
    const one = await reader("other");
    const follower = await startFollower();
    const answer = follower.poll(here.send, 10);
    await untilHeld(1);
    await here.send("DELETE", `/api/api-keys/${one.key.id}`, { basic: [one.username, password] });
    expect(subjectsOf(await answer)).toContain(one.key.id);
  });
});

describe("while followers wait", () => {
  test("other requests get connections to the database, although more followers wait than there are", async () => {
    const { cursor } = await startFollower();
    const waiting = Array.from({ length: 12 }, () => here.send("GET", revocationsAfter(cursor, 10), { basic }));
    await untilHeld(12);
    await expect.poll(() => metric("latchkey_database_connections_used"), { timeout: 5_000 }).toBe(0);
    expect((await here.send("GET", "/api/sessions", { basic })).status).toBe(200);
    const id = await revokeToken();
    for (const answer of await Promise.all(waiting)) expect(subjectsOf(answer)).toContain(id);
    await untilHeld(0);
  });

  test("a client that disconnects is forgotten", async () => {
    const { cursor } = await startFollower();
    const { hostname, port } = new URL(here.url);
    const sockets = Array.from({ length: 3 }, () => connect(Number(port), hostname));
    for (const socket of sockets) {
      await once(socket, "connect");
      const head = `GET ${revocationsAfter(cursor, 30)} HTTP/1.1\r\nHost: x`;
      socket.write(`${head}\r\nAuthorization: ${basicAuthorization(basic)}\r\n\r\n`);
    }
    await untilHeld(3);
    sockets[0]?.destroy();
    sockets[1]?.resetAndDestroy();
    await untilHeld(1);
    sockets[2]?.destroy();
    await untilHeld(0);
  });

  test("the time for which they are held is not part of the duration in the log and the metrics", async () => {
    const follower = await startFollower();
    const series = 'latchkey_http_request_duration_seconds_sum{operation="listRevocations"}';
    const before = await metric(series);
    const answer = await follower.poll(here.send, 1);
    const id = answer.header("x-request-id") ?? "";
    await vi.waitUntil(() => here.log.some((line) => line.includes(id) && line.includes("responseTime")), 5_000);
    const line = here.log.find((line) => line.includes(id) && line.includes("responseTime")) ?? "";
    expect(JSON.parse(line).responseTime).toBeLessThan(900);
    expect((await metric(series)) - before).toBeLessThan(0.9);
  });

  test("a stop of the service ends their requests at once, with a cursor", async () => {
    const service = await startTestService({ METRICS_PORT: "0" }, here.databaseUrl);
    const follower = await startFollower(service);
    const answer = follower.poll(service.send, 14);
    await untilHeld(1, service);
    const began = performance.now();
    await service.close();
    expect((await answer).json).toMatchObject({ entries: [], has_more: false });
    expect(performance.now() - began).toBeLessThan(3_000);
    const id = await revokeToken();
    expect(subjectsOf(await follower.poll(here.send, 10))).toContain(id);
  });
});

describe("a forged cursor", () => {
  const forged = async (change: (snapshot: string) => string) => {
    const { json } = await here.send("GET", revocationsAfter(undefined), { basic });
    const cursor = parseCursor(json.next);
    if (!cursor) throw new Error("The cursor is not valid.");
    const { server, snapshot } = cursor.position;
    return encodeCursor({ position: { server, snapshot: change(snapshot) }, atMs: cursor.atMs });
  };

  test("from the future gets nothing, and from the past gets what the list contains", async () => {
    const future = await forged(() => "9000000000000000000:9000000000000000000:");
    expect((await here.send("GET", revocationsAfter(future), { basic })).json).toMatchObject({
      entries: [],
      next: future,
    });
    const past = await forged(() => "1:1:");
    const { json } = await here.send("GET", revocationsAfter(past), { basic });
    expect(json.entries.length).toBeGreaterThan(0);
  });
});

test("an instance with a stale list refuses, and does not claim to be complete", { timeout: 30_000 }, async () => {
  const service = await startTestService({ REVOCATION_STALENESS_SECONDS: "2" });
  const { username: owner } = await service.register();
  const [id] = await service.sql("SELECT id FROM users");
  await service.sql("INSERT INTO user_roles (user_id, role) VALUES ($1, 'administrator')", [id?.["id"]]);
  const follower = createFollower({ bearer: await service.token(owner) });
  await follower.catchUp(service.send);
  await service.withoutDatabase(async () => {
    const answer = await follower.poll(service.send, 4);
    expect(answer).toMatchObject({ status: 503, problem: "revocations-stale" });
  });
  await vi.waitUntil(async () => (await follower.poll(service.send)).status === 200, 10_000);
  expect(follower.restarts).toBe(0);
});
