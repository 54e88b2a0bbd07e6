/** A revoked token is rejected: on this instance at once, on others within a second, and after any failure. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import pg from "pg";
import { describe, expect, inject, test, vi } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { keyId, tokenId, userId } from "../../src/identifiers.ts";
import type { Problem } from "../../src/problems/problems.ts";
import { maxEpoch, watchRevocations } from "../../src/revocations/revocations.ts";
import { revocationStore } from "../../src/revocations/store.ts";
import { createClient } from "../support/client.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, query, secretKey, startTestService, type TestService } from "../support/service.ts";

const here = await startTestService();
const there = await startTestService({}, here.databaseUrl);
const read = (service: TestService, bearer: string) => service.send("GET", "/api/resource", { bearer });

/** Milliseconds until a service rejects a token; fails after a second. */
async function refusedAfterMs(service: TestService, bearer: string): Promise<number> {
  const began = performance.now();
  for (;;) {
    const { status, problem } = await read(service, bearer);
    const tookMs = performance.now() - began;
    if (status === 401) {
      expect(problem).toBe("token-revoked");
      return tookMs;
    }
    expect(tookMs).toBeLessThan(1000);
  }
}

describe("after the 204 of", () => {
  test.each([
    ["a revocation of the token", (bearer: string) => here.send("DELETE", "/api/token", { bearer })],
    [
      "a change of password",
      (bearer: string) =>
        here.send("PUT", "/api/users/me/password", {
          bearer,
          json: { current_password: password, new_password: "staple horse correct" },
        }),
    ],
    ["signing out everywhere", (bearer: string) => here.send("DELETE", "/api/sessions", { bearer })],
    [
      "a deletion",
      (_: string, username: string) => here.send("DELETE", "/api/users/me", { basic: [username, password] }),
    ],
  ])("%s the token is refused here at once and there within a second", async (_name, revoke) => {
    const times: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const { username } = await here.register();
      const bearer = await here.token(username);
      expect((await read(there, bearer)).status).toBe(200);
      expect((await revoke(bearer, username)).status).toBe(204);
      expect(await read(here, bearer)).toMatchObject({ status: 401, problem: "token-revoked" });
      times.push(await refusedAfterMs(there, bearer));
    }
    console.info(`refused elsewhere after ${times.sort((a, b) => a - b)[5]?.toFixed(1)} ms (median of ten)`);
  });
});

test("a user who has signed out and is signed out again is refused elsewhere within a second, each time", async () => {
  const { username } = await here.register();
  for (let round = 0; round < 3; round += 1) {
    const bearer = await here.token(username);
    expect((await read(there, bearer)).status).toBe(200);
    expect((await here.send("DELETE", "/api/sessions", { bearer })).status).toBe(204);
    await refusedAfterMs(there, bearer);
  }
});

test.each([
  ["the end of its session", (id: string, bearer: string) => here.send("DELETE", `/api/sessions/${id}`, { bearer })],
  ["a revocation of its token", (_: string, bearer: string) => here.send("DELETE", "/api/token", { bearer })],
])("after the 204 of %s nothing of a session works, here at once and there within a second", async (_name, revoke) => {
  const { username } = await here.register();
  const first = (await here.send("POST", "/api/sessions", { basic: [username, password] })).json;
  const second = (await here.send("POST", "/api/token", { json: { refresh_token: first.refresh_token } })).json;
  const untouched = (await here.send("POST", "/api/sessions", { basic: [username, password] })).json;
  expect((await read(there, first.access_token)).status).toBe(200);
  expect((await revoke(first.id, second.access_token)).status).toBe(204);
  for (const { access_token } of [first, second]) {
    expect((await read(here, access_token)).problem).toBe("token-revoked");
    await refusedAfterMs(there, access_token);
  }
  const again = await there.send("POST", "/api/token", { json: { refresh_token: second.refresh_token } });
  expect(again.problem).toBe("token-revoked");
  expect((await read(there, untouched.access_token)).status).toBe(200);
});

test("checking a token needs no database, for no longer than REVOCATION_STALENESS_SECONDS", async () => {
  const service = await startTestService({ REVOCATION_STALENESS_SECONDS: "2" });
  await service.register("miguel");
  const bearer = await service.token("miguel");
  const revoked = await service.token("miguel");
  await service.send("DELETE", "/api/token", { bearer: revoked });
  await service.withoutDatabase(async () => {
    expect((await read(service, bearer)).status).toBe(200);
    const began = performance.now();
    for (;;) {
      const answer = await read(service, bearer);
      if (answer.status === 503) {
        expect(answer.problem).toBe("revocations-stale");
        break;
      }
      expect(answer.status).toBe(200);
      expect(performance.now() - began).toBeLessThan(3000);
    }
    // A token known to be revoked is reported as such.
    expect((await read(service, revoked)).problem).toBe("token-revoked");
  });
  const back = performance.now();
  while ((await read(service, bearer)).status !== 200) expect(performance.now() - back).toBeLessThan(2000);
});

test("killed right after the 204 and started again: still rejected", { timeout: 30_000 }, async () => {
  const settings = { DATABASE_URL: await createDatabase(), SECRET_KEY: secretKey, PASSWORD_BLOCKLIST: "off" };
  const first = runProgram([], settings);
  const send = createClient(await first.url);
  await send("POST", "/api/users", { json: { username: "miguel", password } });
  const take = async () => (await send("GET", "/api/token", { basic: ["miguel", password] })).json.token as string;
  const [bearer, other] = [await take(), await take()];
  expect((await send("DELETE", "/api/token", { bearer })).status).toBe(204);
  first.process.kill("SIGKILL");
  await first.exit;
  const again = createClient(await runProgram([], settings).url);
  expect((await again("GET", "/api/resource", { bearer })).problem).toBe("token-revoked");
  expect((await again("GET", "/api/resource", { bearer: other })).status).toBe(200);
});

test("revocations that commit out of order are not missed", async () => {
  const { username } = await here.register();
  const [early, late] = [await here.token(username), await here.token(username)];
  const insert = "INSERT INTO revocations (subject, minimum_epoch, expires_at) VALUES ($1, $2, now() + '1 hour')";
  const idOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).jti;
  const slow = new pg.Client(here.databaseUrl);
  await slow.connect();
  await slow.query("BEGIN");
  await slow.query(insert, [idOf(early), maxEpoch]); // the lower id, not yet visible
  await here.sql(insert, [idOf(late), maxEpoch]);
  await refusedAfterMs(there, late); // the higher id has been read now
  expect((await read(there, early)).status).toBe(200);
  await slow.query("COMMIT");
  await slow.end();
  await refusedAfterMs(there, early);
});

test("a list read from another server is read again from the start", async () => {
  const { username } = await here.register();
  const bearer = await here.token(username);
  const database = openDatabase(here.databaseUrl, 1);
  const store = revocationStore(database);
  const position = await store.readAll(() => {});
  expect(await store.readSince({ ...position, server: "before the failover" }, () => {})).toBeUndefined();
  expect(await store.readSince(position, () => {})).toBeDefined();
  expect(await store.isCurrent({ ...position, server: "before the failover" })).toBe(false);
  expect(await store.isCurrent(position)).toBe(true);
  expect((await here.send("DELETE", "/api/token", { bearer })).status).toBe(204);
  const seen: string[] = [];
  await store.readSince(position, ({ entries }) => seen.push(...entries.map(({ subject }) => subject)));
  expect(seen).toHaveLength(1);
  await database.close();
});

test("100,000 revocations at once, beside an open transaction, do not make the list stale", {
  timeout: 60_000,
}, async () => {
  const databaseUrl = await createDatabase();
  const settings = { DATABASE_URL: databaseUrl, SECRET_KEY: secretKey, PASSWORD_BLOCKLIST: "off" };
  const send = createClient(await runProgram([], settings).url);
  await send("POST", "/api/users", { json: { username: "miguel", password } });
  const bearer = (await send("GET", "/api/token", { basic: ["miguel", password] })).json.token;
  const open = new pg.Client(databaseUrl);
  await open.connect();
  await open.query("BEGIN");
  await open.query("SELECT pg_current_xact_id()"); // keeps the snapshot's xmin
  await query(
    databaseUrl,
    `INSERT INTO revocations (subject, minimum_epoch, expires_at)
     SELECT gen_random_uuid(), 1, now() + interval '10 seconds' FROM generate_series(1, 100000)`,
  );
  for (const began = performance.now(); performance.now() - began < 8000; ) {
    expect((await send("GET", "/api/resource", { bearer })).status).toBe(200);
    await new Promise(setImmediate);
  }
  await open.query("ROLLBACK");
  await open.end();
});

describe("the list", () => {
  test("forgets an entry when the last token that it could concern has expired, and not before", async () => {
    const database = openDatabase(await createDatabase(), 2);
    let now = Date.now();
    const list = await watchRevocations({
      store: revocationStore(database),
      maxStalenessMs: 60_000,
      clock: () => new Date(now),
      onError: () => {},
    });
    const subject = userId("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
    const revoked = () => {
      try {
        list.check({
          tokenId: tokenId("another"),
          sessionId: undefined,
          keyId: keyId("a key"),
          userId: subject,
          epoch: 1,
        });
        return false;
      } catch {
        return true;
      }
    };
    await list.revoke({ subject, minimumEpoch: 1, expiresAt: new Date(now + 120_000) }, subject);
    expect(revoked()).toBe(false); // epoch 1 is valid again
    await list.revoke({ subject, minimumEpoch: 2, expiresAt: new Date(now + 600_000) }, subject);
    expect(revoked()).toBe(true);
    const lookAt = async (time: number) => {
      now = time;
      list.wake();
      const before = list.size();
      for (let tries = 0; tries < 50 && list.size() === before; tries += 1)
        await database.read((knex) => knex.raw("SELECT 1"));
    };
    await lookAt(now + 300_000); // the first entry has expired, the second has not
    expect(revoked()).toBe(true);
    await lookAt(now + 400_000);
    await vi.waitUntil(() => list.size() === 0, 5_000);
    await list.close();
    await database.close();
  });

  test("is stale from a reload until all of it was read again, also if a read was in progress", async () => {
    const database = openDatabase(await createDatabase(), 2);
    const real = revocationStore(database);
    /** Opened gates let a call of the store continue. */
    const gates: Record<"readAll" | "readSince" | "isCurrent", (() => void)[]> = {
      readAll: [],
      readSince: [],
      isCurrent: [],
    };
    let isGated = false;
    const pass = (name: keyof typeof gates) =>
      isGated ? new Promise<void>((resolve) => void gates[name].push(resolve)) : Promise.resolve();
    const open = async (name: keyof typeof gates) => {
      await vi.waitUntil(() => gates[name].length > 0, { timeout: 4_000, interval: 5 });
      gates[name].shift()?.();
    };
    const list = await watchRevocations({
      store: {
        ...real,
        readAll: (onPage) => pass("readAll").then(() => real.readAll(onPage)),
        readSince: (cursor, onPage) => pass("readSince").then(() => real.readSince(cursor, onPage)),
        isCurrent: (cursor) => pass("isCurrent").then(() => real.isCurrent(cursor)),
      },
      maxStalenessMs: 60_000,
      clock: () => new Date(),
      onError: () => {},
    });
    const subject = userId("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
    const problem = (epoch: number) => {
      try {
        list.check({
          tokenId: tokenId("a token"),
          sessionId: undefined,
          keyId: keyId("a key"),
          userId: subject,
          epoch,
        });
        return undefined;
      } catch (error) {
        return (error as Problem).slug;
      }
    };
    await list.revoke({ subject, minimumEpoch: 1, expiresAt: new Date(Date.now() + 600_000) }, subject);
    isGated = true;
    expect(problem(1)).toBe(undefined);

    await open("readSince"); // this read and its check are in progress during the reload
    await vi.waitUntil(() => gates.isCurrent.length > 0, { timeout: 4_000, interval: 5 });
    list.reload();
    await open("isCurrent");
    await vi.waitUntil(() => gates.readAll.length > 0, { timeout: 4_000, interval: 5 });
    expect([problem(0), problem(1)]).toEqual(["token-revoked", "revocations-stale"]);

    list.reload(); // during the read of all entries
    await open("readAll");
    await open("isCurrent");
    await vi.waitUntil(() => gates.readAll.length > 0, { timeout: 4_000, interval: 5 });
    expect([problem(0), problem(1)]).toEqual(["token-revoked", "revocations-stale"]);

    isGated = false;
    for (const waiting of Object.values(gates)) for (const resolve of waiting.splice(0)) resolve();
    await vi.waitUntil(() => problem(1) === undefined, { timeout: 4_000, interval: 5 });
    expect(problem(0)).toBe("token-revoked");
    await list.close();
    await database.close();
  });

  test("is stale while its server responds but cannot commit", async () => {
    const url = await createDatabase();
    const database = openDatabase(url, 2);
    const ignore = () => {};
    const list = await watchRevocations({
      store: revocationStore(database),
      maxStalenessMs: 1_500,
      clock: () => new Date(),
      onError: ignore,
    });
    const problem = () => {
      try {
        list.check({
          tokenId: tokenId("a token"),
          sessionId: undefined,
          keyId: keyId("a key"),
          userId: userId("a user"),
          epoch: 0,
        });
        return undefined;
      } catch (error) {
        return (error as Problem).slug;
      }
    };
    /** Whether the role may write to the WAL, by which the service proves that it can commit. */
    const change = (right: string) =>
      query(
        { ...inject("postgres"), database: new URL(url).pathname.slice(1) },
        `DO $$ DECLARE item regprocedure; BEGIN
           FOR item IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
             EXECUTE format('${right}', item);
           END LOOP; END $$`,
      );
    await change("REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC");
    await vi.waitUntil(() => problem() === "revocations-stale", { timeout: 4_000, interval: 10 });
    await change("GRANT EXECUTE ON FUNCTION %s TO PUBLIC");
    await vi.waitUntil(() => problem() === undefined, { timeout: 4_000, interval: 10 });
    await list.close();
    await database.close();
  });

  test("a million live entries take less than 250 MB", { timeout: 60_000 }, async () => {
    const url = await createDatabase();
    const admin = new pg.Client(url);
    await admin.connect();
    await admin.query("ALTER TABLE revocations DISABLE TRIGGER ALL");
    await admin.query(
      `INSERT INTO revocations (subject, minimum_epoch, expires_at)
       SELECT gen_random_uuid(), ${maxEpoch}, now() + (n % 600) * interval '1 second' + interval '1 hour' FROM generate_series(1, 1000000) AS n`,
    );
    await admin.end();
    const database = openDatabase(url, 2);
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    collectGarbage();
    const before = process.memoryUsage();
    const list = await watchRevocations({
      store: revocationStore(database),
      maxStalenessMs: 60_000,
      clock: () => new Date(),
      onError: () => {},
    });
    collectGarbage();
    const after = process.memoryUsage();
    expect(list.size()).toBe(1_000_000);
    const grownMB = (after.heapUsed + after.external - before.heapUsed - before.external) / 1e6;
    console.info(`a million entries take ${grownMB.toFixed(0)} MB`);
    expect(grownMB).toBeLessThan(250);
    await list.close();
    await database.close();
  });
});
