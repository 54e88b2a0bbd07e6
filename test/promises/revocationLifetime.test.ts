/** A revocation is kept until the last token that it revokes has expired, and not much longer. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { cleanUp } from "../../src/database/cleanup.ts";
import { openDatabase } from "../../src/database/database.ts";
import { applyMigrations, migrate, migrationNames } from "../../src/database/migrate.ts";
import { openForMigration } from "../../src/database/pool.ts";
import { storedUsername, userId } from "../../src/identifiers.ts";
import type { PasswordPrincipal } from "../../src/principal.ts";
import { createRevocationMemory } from "../../src/revocations/memory.ts";
import { watchRevocations } from "../../src/revocations/revocations.ts";
import { revoke } from "../../src/revocations/revoke.ts";
import { revocationStore } from "../../src/revocations/store.ts";
import { accessTokens } from "../../src/tokens/accessTokens.ts";
import { issueToken } from "../../src/tokens/handlers.ts";
import { recordSeconds, recordTokenLifetime } from "../../src/tokens/lifetime.ts";
import { createSeal } from "../../src/tokens/sealing.ts";
import { watchSigningKeys } from "../../src/tokens/signingKeys.ts";
import { signingKeyStore, tokenLifetimeStore } from "../../src/tokens/store.ts";
import { grantsOn } from "../support/accessControl.ts";
import { afterTest } from "../support/afterTest.ts";
import { runProgram } from "../support/process.ts";
import { createDatabase, password, query, secretKey, startTestService, type TestService } from "../support/service.ts";

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
const signOut = async (service: TestService, username: string) =>
  expect((await service.send("DELETE", "/api/sessions", { basic: [username, password] })).status).toBe(204);

/** The entries of a subject: when each expires, in seconds since 1970, and in seconds from now. */
async function entriesOf(service: TestService, subject: string): Promise<{ at: number; left: number }[]> {
  const rows = await service.sql(
    `SELECT extract(epoch FROM expires_at)::float8 AS at, extract(epoch FROM expires_at - now())::float8 AS left
     FROM revocations WHERE subject = $1`,
    [subject],
  );
  return rows.map(({ at, left }) => ({ at: Number(at), left: Number(left) }));
}

const openedDatabase = (url: string) => {
  const database = openDatabase(url, 2);
  afterTest(() => database.close());
  return database;
};

async function createSigningKeys() {
  const keys = await watchSigningKeys({
    store: signingKeyStore(openedDatabase(await createDatabase())),
    seal: createSeal([secretKey]),
    rotationSeconds: 1e6,
    clock: () => new Date(),
    onRotation: () => {},
    onError: () => {},
  });
  afterTest(() => keys.close());
  return keys;
}

describe("with a lifetime of 600 seconds, ten million sign-outs a day of different users", { timeout: 60_000 }, () => {
  const perSecond = 10_000_000 / 86_400;
  const limit = 150_000;
  let keptSeconds = 0;
  let url = "";

  beforeAll(async () => {
    url = await createDatabase();
    await tokenLifetimeStore(openedDatabase(url)).record(600, recordSeconds);
    const [entry] = await query(
      url,
      `WITH revoked AS (${revoke({ subject: "'a user'" })}) SELECT extract(epoch FROM "expiresAt" - now()) AS left FROM revoked`,
    );
    keptSeconds = Number(entry?.["left"]);
    expect(keptSeconds).toBeGreaterThan(600);
  });

  test("hold fewer than 150,000 rows after a cleanup, and entries in memory", async () => {
    const minutes = 22; // more rows than the limit, before the cleanup
    await query(
      url,
      `INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
       SELECT gen_random_uuid(), 1, now() + make_interval(secs => $1::float8 - n / $2::float8), true
       FROM generate_series(1, $3::integer) AS n`,
      [keptSeconds, perSecond, Math.ceil(minutes * 60 * perSecond)],
    );
    const database = openedDatabase(url);
    await cleanUp(database);
    const [row] = await query(url, "SELECT count(*)::integer AS count FROM revocations");
    expect(row?.["count"]).toBeLessThan(limit);
    const revocations = await watchRevocations({
      store: revocationStore(database),
      maxStalenessMs: 60_000,
      clock: () => new Date(),
      onError: () => {},
    });
    expect(revocations.size()).toBeLessThan(limit);
    console.info(`${row?.["count"]} rows, ${revocations.size()} entries in memory; each kept ${keptSeconds} s`);
    await revocations.close();
  });

  test("hold fewer than 150,000 entries in memory at any time of the day", () => {
    const scale = 100; // a hundredth of the sign-outs, and of the limit
    const memory = createRevocationMemory();
    let most = 0;
    for (let minute = 0; minute < 24 * 60; minute += 1) {
      for (let second = 0; second < 60; second += scale / perSecond)
        memory.add({
          subject: randomUUID(),
          minimumEpoch: 1,
          expiresAt: new Date((minute * 60 + second + keptSeconds) * 1000),
        });
      most = Math.max(most, memory.size());
      memory.removeExpired(new Date((minute + 1) * 60_000));
    }
    expect(most).toBeLessThan(limit / scale);
    memory.removeExpired(new Date((24 * 3_600 + keptSeconds + 60) * 1000));
    expect(memory.size()).toBe(0);
  });
});

test("the same user signing out again and again is one entry, in the table and in memory", async () => {
  const service = await startTestService();
  const { id, username } = await service.register();
  const tokens: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    tokens.push(await service.token(username));
    await signOut(service, username);
    expect(await entriesOf(service, id)).toHaveLength(1);
  }
  const restarted = await startTestService({}, service.databaseUrl);
  for (const bearer of tokens)
    for (const instance of [service, restarted])
      expect((await instance.send("GET", "/api/resource", { bearer })).problem).toBe("token-revoked");

  const memory = createRevocationMemory();
  for (let epoch = 1; epoch <= 1_000_000; epoch += 1)
    memory.add({ subject: id, minimumEpoch: epoch, expiresAt: new Date(1_000 * epoch) });
  expect(memory.size()).toBe(1);
  memory.removeExpired(new Date(999_000_000));
  expect(memory.minimumEpoch(id)).toBe(1_000_000);
  memory.removeExpired(new Date(1_000_020_000));
  expect(memory.size()).toBe(0);
});

describe("an entry outlives the tokens", () => {
  test("of an instance with a longer TOKEN_TTL_SECONDS, also after it was lowered", async () => {
    const here = await startTestService();
    const { id, username } = await here.register();
    await signOut(here, username);
    expect((await entriesOf(here, id))[0]?.left).toBeLessThan(600 + 300 + 120 + 1);

    // A rolling update raises the lifetime on one instance.
    const longer = await startTestService({ TOKEN_TTL_SECONDS: "7200" }, here.databaseUrl);
    const claims = claimsOf(await longer.token(username));
    await here.sql("DELETE FROM revocations");
    await signOut(here, username);
    expect((await entriesOf(here, id))[0]?.at).toBeGreaterThan(claims.exp + 200);

    // The next update lowers it again. The long tokens are still in use.
    await longer.close();
    await here.sql("DELETE FROM revocations");
    await signOut(here, username);
    expect((await entriesOf(here, id))[0]?.at).toBeGreaterThan(claims.exp + 200);

    // Once they have expired, entries are as short as before.
    await here.sql("UPDATE token_lifetimes SET issued_until = now() - interval '150 minutes' WHERE seconds = 7200");
    await here.sql("DELETE FROM revocations");
    await signOut(here, username);
    expect((await entriesOf(here, id))[0]?.left).toBeLessThan(600 + 300 + 120 + 1);
  });

  test("of the previous version, which records no lifetime, for a week after the migration", async () => {
    const url = await createDatabase("template0");
    const knex = openForMigration(url);
    afterTest(() => knex.destroy());
    await knex.raw("CREATE SCHEMA latchkey");
    await applyMigrations(knex, migrationNames.slice(0, migrationNames.indexOf("0010-token-lifetimes")));
    await knex.raw("INSERT INTO signing_keys (kid, private_jwe) VALUES ('its key', '')");
    await migrate(knex);
    const days = "extract(epoch FROM issued_until - now()) / 86400";
    const { rows } = await knex.raw(`SELECT seconds, round(${days}) AS days FROM token_lifetimes`);
    expect(rows).toEqual([{ seconds: 86_400, days: "7" }]);
    const { rows: entries } = await knex.raw(
      `WITH revoked AS (${revoke({ subject: "'subject'" })}) SELECT "expiresAt" > now() + interval '24 hours' AS kept FROM revoked`,
    );
    expect(entries).toEqual([{ kept: true }]);
    // An instance of the new version with the same lifetime does not shorten the week.
    await tokenLifetimeStore(openedDatabase(url)).record(86_400, recordSeconds);
    const { rows: renewed } = await knex.raw(`SELECT round(${days}) AS days FROM token_lifetimes`);
    expect(renewed).toEqual([{ days: "7" }]);
  });

  test("that were issued after a backup was made, once it is restored", async () => {
    const service = await startTestService();
    await service.close();
    const settings = { DATABASE_URL: service.databaseUrl, SECRET_KEY: secretKey };
    expect(await runProgram(["restore", "--keep-passwords"], settings).exit).toBe(0);
    const rows = await service.sql("SELECT subject, expires_at > now() + interval '24 hours' AS kept FROM revocations");
    expect(rows).toHaveLength(3); // everybody, and two signing keys
    for (const row of rows) expect(row).toMatchObject({ kept: true });
  });

  test("of a new installation, in which only recorded lifetimes are in use", async () => {
    expect(await query(await createDatabase(), "SELECT FROM token_lifetimes")).toEqual([]);
  });

  test("of an instance that records a longer lifetime while a revocation is being committed", async () => {
    const url = await createDatabase();
    const store = tokenLifetimeStore(openedDatabase(url));
    await store.record(600, 120);
    const client = new pg.Client(url);
    await client.connect();
    await client.query("BEGIN");
    await client.query(revoke({ subject: "'early'" }));
    // The revocation does not know the new lifetime, so no token of that lifetime may be issued before it is visible.
    // Other revocations do not wait meanwhile, and know the new lifetime.
    const other = new pg.Client(url);
    await other.connect();
    afterTest(() => other.end());
    await other.query("SET lock_timeout = '300ms'");
    let hasTried = false;
    const recording = recordTokenLifetime({ store, lifetimeSeconds: 86_400, onError: () => {} }).finally(() => {
      hasTried = true;
    });
    for (let round = 0; !hasTried; round += 1) await other.query(revoke({ subject: `'other ${round}'` }));
    const lifetime = await recording;
    afterTest(() => lifetime.close());
    expect(lifetime.isRecordedSince(performance.now())).toBe(false);
    const [late] = await query(url, `${revoke({ subject: "'late'" })}, expires_at > now() + interval '1 day' AS kept`);
    expect(late?.["kept"]).toBe(true);
    expect(lifetime.isRecordedSince(performance.now())).toBe(false);
    await client.query("COMMIT");
    await client.end();
    await vi.waitUntil(() => lifetime.isRecordedSince(performance.now()), { timeout: 5_000, interval: 10 });
  });

  test("but no longer than a day and a bit, after the clock was years ahead", async () => {
    const url = await createDatabase();
    const store = tokenLifetimeStore(openedDatabase(url));
    const keptHours = async () => {
      const hours = "extract(epoch FROM expires_at - now())::float8 / 3600 AS hours";
      const [row] = await query(url, `${revoke({ subject: `'${randomUUID()}'` })}, ${hours}`);
      return Number(row?.["hours"]);
    };
    await store.record(600, recordSeconds);
    await query(url, "UPDATE token_lifetimes SET issued_until = now() + interval '10 years'");
    expect(await keptHours()).toBeGreaterThan(24);
    expect(await keptHours()).toBeLessThan(25.2);
    // The next renewal puts it right.
    await store.record(600, recordSeconds);
    expect(await keptHours()).toBeLessThan((600 + 300 + 120 + 1) / 3600);
  });
});

describe("a token is issued only if its lifetime has been recorded since", () => {
  const recordedLifetime = async () => {
    const url = await createDatabase();
    const real = tokenLifetimeStore(openedDatabase(url));
    /** Called before each record. */
    const hooks = { beforeRecord: () => Promise.resolve() };
    const lifetime = await recordTokenLifetime({
      store: { ...real, record: (...values) => hooks.beforeRecord().then(() => real.record(...values)) },
      lifetimeSeconds: 600,
      onError: () => {},
    });
    afterTest(() => lifetime.close());
    return { url, lifetime, hooks };
  };

  test("before its epoch was read", async () => {
    const keys = await createSigningKeys();
    const epochReadAfterMs = performance.now();
    const { url, lifetime } = await recordedLifetime();
    const tokens = accessTokens({
      keys,
      issuer: "https://latchkey.example",
      ttlSeconds: 600,
      lifetime,
      clock: () => new Date(),
    });
    const caller = { userId: userId(randomUUID()), username: storedUsername("miguel"), epoch: 0 };
    const users = { withCurrentEpoch: (principal: PasswordPrincipal) => Promise.resolve(principal) };
    const handler = issueToken({ tokens, users, grants: grantsOn(openedDatabase(url)), audit: () => {} });
    const issue = async (epochReadAfterMs: number | undefined) => {
      const verifyAgain = () => Promise.resolve(undefined);
      const principal = { ...caller, proof: "password", epochReadAfterMs, verifyAgain } as const;
      return handler({ principal } as Parameters<typeof handler>[0]);
    };
    // The record was made after the epoch was read, and a revocation in between does not know it.
    await expect(issue(epochReadAfterMs)).rejects.toMatchObject({ slug: "database-unavailable" });
    expect(await issue(performance.now())).toMatchObject({ status: 200 });
    expect(await issue(undefined)).toMatchObject({ status: 200 });
  });

  test("the clock was changed or the server was replaced", async () => {
    const { url, lifetime, hooks } = await recordedLifetime();
    expect(lifetime.isRecordedSince(performance.now())).toBe(true);
    /** Records that wait until they may begin. */
    const waiting: (() => void)[] = [];
    hooks.beforeRecord = () => new Promise<void>((resolve) => void waiting.push(resolve));
    const recordBegins = () => vi.waitUntil(() => waiting.shift(), { timeout: 5_000, interval: 5 });
    await query(url, "DELETE FROM token_lifetimes");
    lifetime.recordAgain();
    const beginFirst = await recordBegins();
    expect(lifetime.isRecordedSince(performance.now())).toBe(false);

    lifetime.recordAgain(); // the record in progress does not count
    beginFirst();
    const beginSecond = await recordBegins();
    expect(lifetime.isRecordedSince(performance.now())).toBe(false);
    const earlierMs = performance.now();
    beginSecond();
    await vi.waitUntil(() => lifetime.isRecordedSince(performance.now()), { timeout: 5_000, interval: 5 });
    expect(lifetime.isRecordedSince(earlierMs)).toBe(false);
    expect(await query(url, "SELECT FROM token_lifetimes")).toHaveLength(1);
  });

  test("until half a second after the database takes records again, however long the outage", async () => {
    const { lifetime, hooks } = await recordedLifetime();
    const failedAtMs: number[] = [];
    let recoveredAtMs = Infinity;
    hooks.beforeRecord = async () => {
      if (failedAtMs.length === 6) recoveredAtMs = performance.now();
      if (recoveredAtMs < Infinity) return;
      failedAtMs.push(performance.now());
      throw new Error("unavailable");
    };
    lifetime.recordAgain();
    await vi.waitUntil(() => lifetime.isRecordedSince(performance.now()), { timeout: 15_000, interval: 5 });
    expect(recoveredAtMs - (failedAtMs.at(-1) ?? 0)).toBeLessThan(800);
  });
});

test("a token that is issued late expires as if it had been issued when its epoch was read", async () => {
  const keys = await createSigningKeys();
  let nowMs = 1_800_000_000_000;
  const tokens = accessTokens({
    keys,
    issuer: "https://latchkey.example",
    ttlSeconds: 600,
    lifetime: { isRecordedSince: () => true },
    clock: () => new Date(nowMs),
  });
  const issue = tokens.prepare(performance.now());
  nowMs += 3_600_000; // the process was frozen
  const claims = claimsOf(await issue({ userId: userId(randomUUID()), username: storedUsername("miguel"), epoch: 0 }));
  expect(claims).toMatchObject({ iat: 1_800_000_000, exp: 1_800_000_600 });
});

test("an instance issues no token before its lifetime is recorded", async () => {
  const here = await startTestService();
  const { username } = await here.register();
  await here.sql("ALTER TABLE token_lifetimes RENAME TO token_lifetimes_gone");
  const there = await startTestService({ TOKEN_TTL_SECONDS: "7200" }, here.databaseUrl);
  const signIns: [string, string][] = [
    ["GET", "/api/token"],
    ["POST", "/api/sessions"],
  ];
  for (const [method, path] of signIns)
    expect(await there.send(method, path, { basic: [username, password] })).toMatchObject({
      status: 503,
      problem: "database-unavailable",
    });
  await here.sql("ALTER TABLE token_lifetimes_gone RENAME TO token_lifetimes");
  await vi.waitUntil(
    async () => (await there.send("GET", "/api/token", { basic: [username, password] })).status === 200,
    {
      timeout: 10_000,
    },
  );
  expect(await here.sql("SELECT FROM token_lifetimes WHERE seconds = 7200")).toHaveLength(1);
});
