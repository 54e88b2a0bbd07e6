/** Every SQL statement of src/ was executed by a test of this run. Statements without a test are listed. */
import { expect, inject, test } from "vitest";
import { connect, noTimeLimits } from "../../src/database/connect.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

/** Executed by test/faults/, on servers of their own. */
const executedByFaultTests: string[] = [];

const client = await connect(await createDatabase(), noTimeLimits);
afterTest(() => client.end());

/** Postgres identifies a statement by a hash, whatever the connection and the values. */
async function identifierOf(text: string): Promise<string | undefined> {
  const { rows } = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN (GENERIC_PLAN, VERBOSE) ${text}`);
  const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
  return /Query Identifier: (-?\d+)/.exec(plan)?.[1];
}

test("every statement was executed", { timeout: 60_000 }, async () => {
  const rows = await query(inject("postgres"), "SELECT queryid::text AS id FROM pg_stat_statements WHERE calls > 0");
  const executed = new Set(rows.map(({ id }) => id));
  const missing: string[] = [];
  for (const { name, text } of await everyStatement()) {
    if (!executed.has(await identifierOf(text)) && !executedByFaultTests.includes(name)) missing.push(name);
  }
  expect(missing).toEqual([]);
});
