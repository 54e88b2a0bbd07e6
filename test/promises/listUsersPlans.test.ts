/** Each filter of GET /api/users uses an index: a page costs the same, however many users there are. */
import { expect, test } from "vitest";
import { createDatabase, query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

const database = await createDatabase();
await query(
  database,
  `INSERT INTO users (id, username, password_hash, blocked_at)
    SELECT gen_random_uuid(), 'user' || n, 'x', CASE WHEN n % 1000 = 0 THEN now() END FROM generate_series(1, 100000) AS n`,
);
await query(database, "INSERT INTO roles (name) VALUES ('rare'), ('common')");
await query(
  database,
  `INSERT INTO user_roles (user_id, role)
    SELECT id, role FROM users, (VALUES ('rare', 10000), ('common', 2)) AS wanted (role, nth)
    WHERE substr(username, 5)::integer % nth = 0`,
);
await query(database, "VACUUM ANALYZE users, user_roles");
const statements = await everyStatement();
const textOf = (wanted: string) => statements.find(({ name }) => name === wanted)?.text ?? "";

type Values = { username?: string; pattern?: string; after?: string; isBlocked?: boolean; role?: string };
type Explained = { "QUERY PLAN": [{ Plan: Record<string, number> }] };

/** The rows and the blocks that a page reads. */
async function costOf({
  username,
  pattern,
  after,
  isBlocked,
  role,
}: Values): Promise<{ rows: number; blocks: number }> {
  const text = textOf(role === undefined ? "list-users" : "list-users-with-role");
  // In the order in which the statements use them.
  const values = [username, pattern, after, isBlocked, ...(role === undefined ? [] : [role]), 21];
  const [explained] = await query(
    database,
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
    values.map((value) => value ?? null),
  );
  const { Plan: plan = {} } = (explained as Explained)["QUERY PLAN"][0];
  const blocks = (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
  return { rows: plan["Actual Rows"] ?? 0, blocks };
}

test.each<[string, Values, number]>([
  ["all users", {}, 21],
  ["all users, in the middle", { after: "user50000" }, 21],
  ["a username", { username: "user77777" }, 1],
  ["a prefix that many have", { pattern: "user%" }, 21],
  ["a prefix of one", { pattern: "user7777_%" }, 10],
  ["a prefix, in the middle", { pattern: "user%", after: "user50000" }, 21],
  ["blocked users", { isBlocked: true }, 21],
  ["blocked users, near the end", { isBlocked: true, after: "user98" }, 2],
  ["users who are not blocked", { isBlocked: false }, 21],
  ["a rare role", { role: "rare" }, 10],
  ["a common role", { role: "common" }, 21],
  ["a common role and a prefix", { role: "common", pattern: "user9%" }, 21],
  ["a role that nobody has", { role: "none" }, 0],
])("a page of %s reads few blocks of 100,000 users", async (_what, values, rows) => {
  const cost = await costOf(values);
  expect(cost.rows).toBe(rows);
  expect(cost.blocks).toBeLessThan(400);
});
