/** Rows that are no longer needed are deleted in batches, and no others. */
import pg from "pg";
import { expect, test } from "vitest";
import { cleanUp } from "../../src/database/cleanup.ts";
import { openDatabase } from "../../src/database/database.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const { id: userId } = await service.register("miguel");
const database = openDatabase(service.databaseUrl, 4);

test("expired revocations, sessions and keys are deleted; live ones stay", async () => {
  await service.sql(`INSERT INTO revocations (subject, minimum_epoch, expires_at)
    SELECT n::text, 1, now() - interval '2 hours' + (n - 2500) * interval '1 minute' FROM generate_series(1, 5000) AS n`);
  const begin = async () => (await service.send("POST", "/api/sessions", { basic: ["miguel", password] })).json.id;
  const ids = [await begin(), await begin(), await begin(), await begin()];
  const past = "tokens_expire_at = now() - interval '1 second'";
  await service.sql(`UPDATE sessions SET ${past}, idle_expires_at = now() - interval '1 second' WHERE id = $1`, [
    ids[0],
  ]);
  await service.sql(`UPDATE sessions SET ${past}, ended_at = now() - interval '2 days' WHERE id = $1`, [ids[1]]);
  await service.sql("UPDATE sessions SET ended_at = now() - interval '2 days' WHERE id = $1", [ids[2]]); // its tokens live
  await service.sql(`INSERT INTO signing_keys (kid, private_jwe, activates_at) VALUES
    ('older', '', now() - interval '90 days'), ('old', '', now() - interval '26 hours')`);
  await service.sql(`INSERT INTO throttle (key, points, expire)
    SELECT n, 1, 1000 * extract(epoch FROM now() + (n - 2.5) * interval '1 hour') FROM generate_series(1, 4) AS n`);
  await service.sql(`INSERT INTO password_failures (key, failures, expires_at)
    SELECT n, 1, now() + (n - 2.5) * interval '1 hour' FROM generate_series(1, 4) AS n`);
  await service.sql(`INSERT INTO familiar_networks (user_id, network, last_seen_at)
    SELECT id, n, now() - n * interval '30 days' FROM users, generate_series(1, 4) AS n`);

  expect(await cleanUp(database)).toEqual({
    revocations: 2500,
    sessions: 2,
    signing_keys: 1,
    throttle: 1,
    password_failures: 2,
    familiar_networks: 2,
  });
  expect(await cleanUp(database)).toEqual({});
  expect(await service.sql("SELECT 1 FROM revocations")).toHaveLength(2500);
  const left = (await service.sql("SELECT id FROM sessions WHERE user_id = $1 ORDER BY id", [userId])).map(
    ({ id }) => id,
  );
  expect(left).toEqual(ids.slice(2));
  const kids = (await service.sql("SELECT kid FROM signing_keys")).map(({ kid }) => kid);
  expect(kids).toContain("old"); // its successor has signed for a moment only
  expect(kids).not.toContain("older");
  await service.sql("DELETE FROM signing_keys WHERE kid = 'old'");
});

test("locked rows are left for later, and nobody waits", async () => {
  await service.sql(`INSERT INTO revocations (subject, minimum_epoch, expires_at)
    SELECT 'x' || n, 1, now() - interval '3 hours' FROM generate_series(1, 10) AS n`);
  const other = new pg.Client(service.databaseUrl);
  await other.connect();
  await other.query("BEGIN");
  await other.query("SELECT 1 FROM revocations WHERE subject = 'x1' FOR UPDATE");
  expect(await cleanUp(database)).toEqual({ revocations: 9 });
  await other.query("ROLLBACK");
  await other.end();
  expect(await cleanUp(database)).toEqual({ revocations: 1 });
});

test("a table that cannot be cleaned up does not block the others", async () => {
  await service.sql(
    "INSERT INTO signing_keys (kid, private_jwe, activates_at) VALUES ('a', '', now() - interval '90 days'), ('b', '', now() - interval '26 hours')",
  );
  await service.sql("ALTER TABLE sessions RENAME TO sessions_gone");
  await expect(cleanUp(database)).rejects.toThrow("sessions");
  await service.sql("ALTER TABLE sessions_gone RENAME TO sessions");
  const kids = (await service.sql("SELECT kid FROM signing_keys")).map(({ kid }) => kid);
  expect(kids).toContain("b");
  expect(kids).not.toContain("a");
  await service.sql("DELETE FROM signing_keys WHERE kid = 'b'");
});

test("one instance cleans up a table at a time", async () => {
  await service.sql(`INSERT INTO revocations (subject, minimum_epoch, expires_at)
    SELECT 'y' || n, 1, now() - interval '3 hours' FROM generate_series(1, 3000) AS n`);
  const other = new pg.Client(service.databaseUrl);
  await other.connect();
  await other.query("SELECT pg_advisory_lock(5391649, hashtext('revocations'))");
  expect(await cleanUp(database)).toEqual({});
  await other.end();
  expect(await cleanUp(database)).toEqual({ revocations: 3000 });
  await database.close();
});
