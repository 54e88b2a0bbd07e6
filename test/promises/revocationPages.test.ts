/** A page of new revocations costs the same, however many there are, and whatever the planner knows of the table. */
import pg from "pg";
import { expect, test } from "vitest";
import { createDatabase, query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

type Explained = { "QUERY PLAN": [{ Plan: Record<string, number> }] };

const database = await createDatabase();
const { text = "" } = (await everyStatement()).find(({ name }) => name === "find-new-revocations") ?? {};

test.each(["right after the revocations", "after the planner has counted them"])(
  "a page reads few blocks of 100,000 revocations, beside an open transaction, %s",
  async (when) => {
    const open = new pg.Client(database);
    await open.connect();
    try {
      await open.query("BEGIN");
      await open.query("SELECT pg_current_xact_id()"); // in progress in the snapshot
      const [before] = await query(database, "SELECT pg_current_snapshot()::text AS snapshot");
      await query(
        database,
        `INSERT INTO revocations (subject, minimum_epoch, expires_at)
         SELECT gen_random_uuid(), 1, now() + interval '1 hour' FROM generate_series(1, 100000)`,
      );
      if (when.startsWith("after")) await query(database, "ANALYZE revocations");
      // In the order in which the statement uses them: the snapshot, the last xid and id, the limit.
      const values = [before?.["snapshot"], "0", "0", 10_000];
      const [explained] = await query(database, `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values);
      const { Plan: plan = {} } = (explained as Explained)["QUERY PLAN"][0];
      expect(plan["Actual Rows"]).toBe(10_001);
      expect((plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0)).toBeLessThan(600);
    } finally {
      await open.end();
    }
  },
);
