/** Every SQL statement of src/ was executed by a test of this run. Statements without a test are listed. */
import { expect, inject, test } from "vitest";
import { query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

/** Executed by test/faults/, on servers of their own. */
const executedByFaultTests: string[] = [];

test("every statement was executed", async () => {
  // Postgres keeps the comment with the name at the beginning of each statement.
  const rows = await query(
    inject("postgres"),
    "SELECT DISTINCT substring(query FROM '^/\\* (\\S+) \\*/') AS name FROM pg_stat_statements",
  );
  const executed = new Set(rows.map(({ name }) => name));
  const names = (await everyStatement()).map(({ name }) => name);
  expect(names.filter((name) => !executed.has(name) && !executedByFaultTests.includes(name))).toEqual([]);
});
