/** A decision that must not be older than a cursor of the revocation feed is not, whichever instance makes it. */
import { expect, test, vi } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { keyId, storedUsername, tokenId, userId } from "../../src/identifiers.ts";
import { Problem } from "../../src/problems/problems.ts";
import { encodeCursor, parseCursor } from "../../src/revocations/cursor.ts";
import { createRevocationFeed } from "../../src/revocations/feed.ts";
import { watchRevocations } from "../../src/revocations/revocations.ts";
import { feedStore, revocationStore } from "../../src/revocations/store.ts";
import type { RevocationStore } from "../../src/revocations/storeTypes.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";

const principal = {
  proof: "token",
  userId: userId("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"),
  username: storedUsername("miguel"),
  epoch: 0,
  keyId: keyId("a key"),
  tokenId: tokenId("a token"),
  clientId: "latchkey",
  epochs: undefined,
  sessionId: undefined,
  issuedAt: new Date(),
  expiresAt: new Date(),
  boundTo: undefined,
  scopes: undefined,
} as const;
const refusal = { pointer: "#/revocations_after", detail: "is not a cursor" };
const insert = `INSERT INTO revocations (subject, minimum_epoch, expires_at)
  VALUES ($1, 1, now() + interval '1 hour')`;

/** The list of an instance that no notification wakes. Its reads can be replaced. */
async function startInstance(url: string) {
  const database = openDatabase(url, 3);
  const store: RevocationStore = revocationStore(database);
  const clock = () => new Date();
  const revocations = await watchRevocations({ store, maxStalenessMs: 60_000, clock, onError: () => {} });
  const feed = createRevocationFeed({ revocations, store: feedStore(database), clock });
  afterTest(async () => {
    await revocations.close();
    await database.close();
  });
  const next = async () => (await feed.read({ after: undefined, waitMs: 0, principal })).next;
  const atLeast = (cursor: string) =>
    feed.atLeast(cursor, refusal).then(
      () => "read",
      (error: unknown) => (error instanceof Problem ? error.slug : error),
    );
  return { revocations, store, next, atLeast };
}

const isRevoked = ({ check }: { check(of: typeof principal): void }): boolean => {
  try {
    check(principal);
    return false;
  } catch (error) {
    return error instanceof Problem && error.slug === "token-revoked";
  }
};

/** Two instances on one database, of which the second has not read an entry that the first has read. */
async function startPair() {
  const url = await createDatabase();
  const [ahead, behind] = [await startInstance(url), await startInstance(url)];
  const readSince = vi.spyOn(behind.store, "readSince");
  return { url, ahead, behind, readSince };
}

test("an instance reads the list first if the cursor is ahead, once for all that ask", async () => {
  const { url, ahead, behind, readSince } = await startPair();
  await query(url, insert, [principal.tokenId]);
  await ahead.revocations.readNow();
  const cursor = await ahead.next();
  expect(new Set(await Promise.all(Array.from({ length: 50 }, () => behind.atLeast(cursor))))).toEqual(
    new Set(["read"]),
  );
  expect(isRevoked(behind.revocations)).toBe(true);
  expect(readSince.mock.calls.length).toBeLessThanOrEqual(2); // one may have been due
  const calls = readSince.mock.calls.length;
  expect(await ahead.atLeast(cursor)).toBe("read"); // it has read that far already
  expect(readSince.mock.calls.length).toBe(calls);
});

test("what is no cursor, or was never issued, is refused", async () => {
  const { ahead, behind } = await startPair();
  const cursor = parseCursor(await ahead.next());
  if (!cursor) throw new Error("The cursor is not valid.");
  const { server } = cursor.position;
  const snapshot = "9000000000000000000:9000000000000000000:";
  for (const text of ["x", encodeCursor({ ...cursor, position: { server, snapshot } })]) {
    expect(await behind.atLeast(text)).toBe("invalid-request");
  }
});

test("after a change of the server, only an instance whose server can commit decides", async () => {
  const { ahead, behind } = await startPair();
  const cursor = parseCursor(await ahead.next());
  if (!cursor) throw new Error("The cursor is not valid.");
  const { snapshot } = cursor.position;
  const other = encodeCursor({ ...cursor, position: { server: "2020-01-01 00:00:00+00", snapshot } });
  expect(await behind.atLeast(other)).toBe("read");
  vi.spyOn(behind.store, "isCurrent").mockResolvedValue(false);
  expect(await behind.atLeast(other)).toBe("revocations-stale");
});

test("without a database, the answer is a problem within three seconds", async () => {
  const { url, ahead, behind, readSince } = await startPair();
  await query(url, insert, [principal.tokenId]);
  await ahead.revocations.readNow();
  const cursor = await ahead.next();
  readSince.mockRejectedValue(new Problem("database-unavailable"));
  expect(await behind.atLeast(cursor)).toMatch(/^(database-unavailable|read)$/);
  let hang = true;
  readSince.mockImplementation(() => vi.waitUntil(() => !hang, 30_000).then(() => undefined));
  await query(url, insert, [principal.keyId]);
  await ahead.revocations.readNow();
  const began = performance.now();
  expect(await behind.atLeast(await ahead.next())).toBe("revocations-stale");
  expect(performance.now() - began).toBeLessThan(3_000);
  hang = false;
});
