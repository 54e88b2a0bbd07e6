/** Statements find their rows by an index, however many users, sessions, API keys and audit events there are. */
import { expect, test } from "vitest";
import { createDatabase, query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

const database = await createDatabase();
await query(
  database,
  `INSERT INTO users (id, username, password_hash)
    SELECT md5(n::text)::uuid, 'user ' || n, repeat('x', 97) FROM generate_series(1, 20000) AS n;
  INSERT INTO sessions (id, user_id, user_epoch, refresh_digest, seed, idle_expires_at, expires_at, tokens_expire_at)
    SELECT id, id, 0, sha256(username::bytea), '', now() + interval '1 day', now() + interval '1 day', now() FROM users;
  INSERT INTO familiar_networks (user_id, network, key) SELECT id, '192.0.2.7', username FROM users;
  INSERT INTO api_keys (id, user_id, name, scopes) SELECT id, id, 'cron', '{}' FROM users;
  INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT sha256(username::bytea), id, 'abcd' FROM users;
  INSERT INTO user_roles (user_id, role) SELECT id, 'administrator' FROM users WHERE username = 'user 7';
  INSERT INTO password_failures (key, failures, expires_at) SELECT username, 1, now() + interval '1 day' FROM users;
  INSERT INTO throttle (key, points, expire) SELECT username, 1, 4000000000000 FROM users;
  INSERT INTO revocations (subject, minimum_epoch, expires_at, is_unique)
    SELECT id, 1, now() + interval '1 day', true FROM users;
  INSERT INTO audit_events (event, actor_id, subject_id, request_id) SELECT 'signed-in', id, id, id FROM users, generate_series(1, 5)`,
);
await query(database, "VACUUM ANALYZE");

const large = [
  "users",
  "sessions",
  "familiar_networks",
  "api_keys",
  "api_key_secrets",
  "password_failures",
  "throttle",
  "revocations",
  "audit_events",
];

/** Planned for their values, which auditPlans.test.ts and listUsersPlans.test.ts test. */
const plannedForValues = ["find-audit-events", "list-users"];
/** Commands that end something for all users, and one that resets the counts of one account. */
const commands = [
  "clear-failures",
  "count-live-sessions",
  "disable-all-passwords",
  "end-api-key-secrets",
  "forget-familiar-networks",
  "raise-epoch-floor",
  "set-every-epoch",
];

type Plan = { "Node Type": string; "Relation Name"?: string; Plans?: Plan[] };
type Explained = { "QUERY PLAN": [{ Plan: Plan }] };

/** The tables that a plan reads from one end to the other. */
const scannedBy = ({ "Node Type": type, "Relation Name": table = "", Plans: plans = [] }: Plan): string[] => [
  ...(type === "Seq Scan" && large.includes(table) ? [table] : []),
  ...plans.flatMap(scannedBy),
];

test("no statement reads a whole table, except those that are meant to", async () => {
  const scans: Record<string, string[]> = {};
  for (const { name, text } of await everyStatement()) {
    const [explained] = await query(database, `EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${text}`);
    const scanned = scannedBy((explained as Explained)["QUERY PLAN"][0].Plan);
    if (scanned.length > 0) scans[name] = scanned;
  }
  expect(Object.keys(scans).sort(), JSON.stringify(scans)).toEqual([...plannedForValues, ...commands].sort());
});
