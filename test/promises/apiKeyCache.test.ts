/** The check of an API key takes one query, then none. Keys that do not exist leave nothing in memory. */
import { randomUUID } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { newSecret, parseKey } from "../../src/apiKeys/format.ts";
import { verificationStore } from "../../src/apiKeys/verification/store.ts";
import type { StoredKey } from "../../src/apiKeys/verification/storeTypes.ts";
import { createApiKeyVerification } from "../../src/apiKeys/verification/verification.ts";
import type { AuditDetails, AuditEvent } from "../../src/audit/audit.ts";
import { openDatabase } from "../../src/database/database.ts";
import { apiKeyId, storedUsername, userId } from "../../src/identifiers.ts";
import { collectLastUses, type LastUse } from "../../src/lib/lastUses.ts";
import { networkOf } from "../../src/networks.ts";
import { Problem } from "../../src/problems/problems.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import { afterTest } from "../support/afterTest.ts";
import { createKey } from "../support/apiKeys.ts";
import { holdLocks, startTestService } from "../support/service.ts";

const service = await startTestService();
const { username } = await service.register();
let statements: string[] = [];
const database = openDatabase(service.databaseUrl, 2, {
  observe: (statement) => {
    statements.push(/\/\* ([\w-]+) \*\//.exec(statement)?.[1] ?? statement);
    return () => {};
  },
});
afterTest(() => database.close());

/** An instance without its other parts. */
function newInstance(findByDigest = verificationStore(database).findByDigest) {
  const events: [AuditEvent, AuditDetails][] = [];
  const recorded: string[] = [];
  const listeners: ((subject: string | undefined) => void)[] = [];
  let isStale = false;
  const { verify } = createApiKeyVerification({
    store: { findByDigest },
    revocations: {
      onEntry: (listener) => void listeners.push(listener),
      requireCurrent() {
        if (isStale) throw new Problem("revocations-stale");
      },
    },
    lastUses: { record: (digest) => void recorded.push(digest) },
    clock: () => new Date(),
    audit: (event, details) => void events.push([event, details]),
  });
  return {
    /** Resolves with the principal, or the slug of the problem. */
    check: async (text: string) => {
      const context = createRequestContext("192.0.2.7", undefined);
      try {
        return await runInRequest(context, () => verify(text));
      } catch (error) {
        return (error as Problem).slug;
      }
    },
    events,
    recorded,
    change: (subject: string | undefined) => listeners.forEach((listener) => void listener(subject)),
    setStale: (value: boolean) => {
      isStale = value;
    },
  };
}

test("the first check takes one query, also of concurrent requests, and later ones none", async () => {
  const { id, key } = await createKey(service, username, { scopes: ["account:read"] });
  const { check, recorded } = newInstance();
  statements = [];
  const principals = await Promise.all(Array.from({ length: 10 }, () => check(key)));
  for (const principal of principals) {
    expect(principal).toMatchObject({ proof: "api-key", apiKeyId: id, username, scopes: new Set(["account:read"]) });
  }
  for (let count = 0; count < 10; count += 1) expect(await check(key)).toBe(principals[0]);
  expect(statements).toEqual(["find-api-key-by-digest"]);
  expect(recorded.length).toBeLessThanOrEqual(2); // of the minutes in which the test ran
});

test("a text that is not a key takes no query", async () => {
  const { key } = await createKey(service, username);
  const { check, events } = newInstance();
  statements = [];
  for (const text of [
    key.replace(/.$/, key.endsWith("0") ? "1" : "0"),
    `${key}0`,
    key.slice(0, -1),
    `lk_${"z".repeat(49)}`,
  ]) {
    expect(await check(text)).toBe("invalid-token");
  }
  expect(statements).toEqual([]);
  expect(events).toHaveLength(4);
  for (const event of events) expect(event).toEqual(["api-key-refused", { reason: "malformed" }]);
});

test("keys that do not exist take one query each, are not cached, and evict nothing", async () => {
  const { key } = await createKey(service, username);
  const { check } = newInstance();
  await check(key);
  const unknown = newSecret().text;
  statements = [];
  expect([await check(unknown), await check(unknown)]).toEqual(["invalid-token", "invalid-token"]);
  expect(statements).toHaveLength(2);
  // Concurrent requests share the query, and each is audited.
  expect(await Promise.all([check(unknown), check(unknown)])).toEqual(["invalid-token", "invalid-token"]);
  expect(statements).toHaveLength(3);
  expect(await check(key)).toMatchObject({ username });
  expect(statements).toHaveLength(3);
});

test("100,000 unknown keys take no memory", { timeout: 60_000 }, async () => {
  const { check, events } = newInstance(async () => undefined);
  await check(newSecret().text);
  const before = heapBytes();
  for (let count = 0; count < 100_000; count += 1) {
    await check(newSecret().text);
    events.length = 0;
  }
  expect(heapBytes() - before).toBeLessThan(5_000_000);
});

test.each([
  ["unknown", "DELETE FROM api_keys WHERE id = $1", "invalid-token"],
  ["expired", "UPDATE api_keys SET expires_at = now() WHERE id = $1", "token-expired"],
  ["rotated", "UPDATE api_key_secrets SET expires_at = now() WHERE key_id = $1", "token-expired"],
])("the audit event says that a key is %s", async (reason, change, problem) => {
  const { id, key } = await createKey(service, username);
  const { check, events, change: notify } = newInstance();
  expect(await check(key)).toMatchObject({ apiKeyId: id });
  await service.sql(change, [id]);
  notify(id);
  expect(await check(key)).toBe(problem);
  expect(events).toMatchObject([["api-key-refused", { reason, ...(reason !== "unknown" && { apiKeyId: id }) }]]);
});

test("an entry for the key, its user or everybody, and a gap in the list, make the next check read it again", async () => {
  const { id, key } = await createKey(service, username);
  const { check, change } = newInstance();
  const principal = await check(key);
  const owner = typeof principal === "object" ? principal.userId : "";
  statements = [];
  change(randomUUID());
  await check(key);
  expect(statements).toEqual([]);
  for (const subject of [id, owner, "everybody", undefined]) {
    change(subject);
    await check(key);
    await check(key);
  }
  expect(statements).toHaveLength(4);
});

test("while the revocation list is stale, no key is accepted", async () => {
  const { key } = await createKey(service, username);
  const { check, setStale } = newInstance();
  await check(key);
  setStale(true);
  expect([await check(key), await check(newSecret().text)]).toEqual(["revocations-stale", "revocations-stale"]);
  setStale(false);
  expect(await check(key)).toMatchObject({ username });
});

test("100,000 keys in use take less than 60 MB, and no query after the first check", { timeout: 60_000 }, async () => {
  let queries = 0;
  // As Postgres returns them: nothing is shared.
  const copied = (text: string) => Buffer.from(text).toString();
  const find = async (): Promise<StoredKey> => {
    queries += 1;
    const scopes = [copied("users:read"), copied("users:write")];
    const owner = {
      userId: userId(copied(randomUUID())),
      username: storedUsername(copied(`user ${queries}`)),
      epoch: 1,
    };
    const times = { expiresAt: new Date(2_000_000_000_000), secretExpiresAt: null };
    return { id: apiKeyId(copied(randomUUID())), ...owner, ...times, scopes, isBlocked: false };
  };
  const { check, recorded } = newInstance(find);
  const keys = Array.from({ length: 100_000 }, () => newSecret().text);
  const before = heapBytes();
  for (const key of keys) {
    await check(key);
    recorded.length = 0;
  }
  const taken = heapBytes() - before;
  console.info(`100,000 keys take ${(taken / 1e6).toFixed(1)} MB`);
  expect(taken).toBeLessThan(60_000_000);
  for (const key of keys) await check(key);
  expect(queries).toBe(100_000);
});

test("uses are written in one statement, once a minute for each secret, and kept while the database is away", async () => {
  const key = await createKey(service, username);
  const other = await createKey(service, username);
  const digests = await service.sql("SELECT digest, key_id FROM api_key_secrets WHERE key_id IN ($1, $2)", [
    key.id,
    other.id,
  ]);
  const uses = verificationStore(database);
  let isAway = true;
  const written: LastUse[][] = [];
  const { record, close } = collectLastUses({
    store: {
      async recordUses(batch) {
        if (isAway) throw new Problem("database-unavailable");
        written.push([...batch]);
        await uses.recordUses(batch);
      },
    },
    onError: () => {},
  });
  const at = (minute: number) => new Date(Date.UTC(2026, 10, 23, 12, minute));
  const bytes = digests.map(({ digest }) => (digest as Buffer).toString("latin1"));
  let networks = 0;
  const networkOfUse = () => {
    networks += 1;
    return networkOf("192.0.2.7");
  };
  for (const digest of bytes) for (const minute of [1, 1, 2]) record(digest, at(minute), networkOfUse);
  expect(networks).toBe(4); // once a minute for each key
  isAway = false;
  statements = [];
  await close();
  expect(statements).toEqual(["record-api-key-uses"]);
  expect(written).toMatchObject([[{ at: at(2) }, { at: at(2) }]]);
  // An instance that is late does not move the time back.
  await uses.recordUses([{ digest: bytes[0] ?? "", at: at(1), network: networkOf("192.0.2.8") }]);
  const rows = await service.sql(
    "SELECT last_used_at, last_used_network FROM api_key_secrets WHERE digest = ANY ($1)",
    [digests.map(({ digest }) => digest)],
  );
  expect(rows).toEqual([
    { last_used_at: at(2), last_used_network: "192.0.2.7" },
    { last_used_at: at(2), last_used_network: "192.0.2.7" },
  ]);
});

test("a check does not wait for the record of its use, nor the record for a rotation", async () => {
  const { id, key } = await createKey(service, username);
  const locks = await holdLocks(service, "SELECT FROM api_key_secrets WHERE key_id = $1 FOR UPDATE", [id]);
  const digest = parseKey(key) ?? "";
  await verificationStore(database).recordUses([{ digest, at: new Date(), network: null }]);
  expect((await service.send("GET", "/api/resource", { bearer: key })).status).toBe(200);
  await locks.commit();
});

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}
