/** Each filter of GET /api/audit-events uses an index: a page costs the same, however many events there are. */
import { expect, test } from "vitest";
import { createDatabase, query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

const database = await createDatabase();
// Every fifth event is of one person, who signs in all the time.
await query(
  database,
  `INSERT INTO audit_events (event, actor_id, subject_id, request_id)
    SELECT CASE WHEN n % 50000 = 1 THEN 'signing-key-rotated' WHEN n % 50 = 0 THEN 'password-changed'
        WHEN n % 50 = 2 THEN 'sign-in-failed' ELSE 'signed-in' END,
      person, person, md5(n::text)::uuid
    FROM (SELECT n, 'person ' || CASE WHEN n % 5 = 0 THEN 0 ELSE n % 20000 END AS person
      FROM generate_series(1, 100000) AS n) AS events`,
);
await query(database, "VACUUM ANALYZE audit_events");
const { text = "" } = (await everyStatement()).find(({ name }) => name === "find-audit-events") ?? {};

type Filter = { subject?: string; actor?: string; event?: string; request?: string; before?: number };
type Explained = { "QUERY PLAN": [{ Plan: Record<string, number> }] };

const busy = "person 0";
const request = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"; // of the first event

test.each<[string, Filter, rows: number]>([
  ["all events", {}, 101],
  ["all events, in the middle", { before: 50_000 }, 101],
  ["the events about a person", { subject: "person 7" }, 5],
  ["the events about the busiest person", { subject: busy }, 101],
  ["the events about the busiest person, in the middle", { subject: busy, before: 50_000 }, 101],
  ["the events about nobody", { subject: "nobody" }, 0],
  ["the events by a person", { actor: "person 7" }, 5],
  ["the events by the busiest person", { actor: busy }, 101],
  ["a frequent event", { event: "signed-in" }, 101],
  ["a rare event", { event: "signing-key-rotated" }, 2],
  ["an event that has not happened", { event: "api-deleted" }, 0],
  ["a request", { request }, 1],
  ["an unknown request", { request: "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b" }, 0],
  ["a frequent event about a person", { subject: "person 7", event: "signed-in" }, 5],
  ["a rare event about a person", { subject: "person 7", event: "signing-key-rotated" }, 0],
  ["an event about the busiest person", { subject: busy, event: "password-changed" }, 101],
  ["a rare event about the busiest person", { subject: busy, event: "signing-key-rotated" }, 0],
  ["a frequent event that the busiest person never had", { subject: busy, event: "sign-in-failed" }, 0],
  ["a frequent event that the busiest person never caused", { actor: busy, event: "sign-in-failed" }, 0],
  ["a rare event by the busiest person", { actor: busy, event: "signing-key-rotated" }, 0],
  ["an event about a person, by the same", { subject: "person 7", actor: "person 7", event: "signed-in" }, 5],
  ["an event of a request", { request, event: "signing-key-rotated" }, 1],
])(
  "a page of %s reads few blocks of 100,000 events",
  async (_what, { subject, actor, event, request, before }, rows) => {
    // In the order in which the statement uses them.
    const values = [subject, actor, event, request, before, 101].map((value) => value ?? null);
    const [explained] = await query(database, `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
    const { Plan: plan = {} } = (explained as Explained)["QUERY PLAN"][0];
    expect(plan["Actual Rows"]).toBe(rows);
    expect((plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0)).toBeLessThan(400);
    expect(JSON.stringify(plan)).not.toContain("Seq Scan");
  },
);
