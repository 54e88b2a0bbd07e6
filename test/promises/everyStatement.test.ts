/** Compares the SQL statements that src/ declares with those that Postgres executed in this run. */
import { expect, inject, test } from "vitest";
import { query } from "../support/service.ts";
import { everyStatement } from "../support/statements.ts";

const statistics = inject("postgres");

test("every declared statement was executed", async () => {
  // An entry has the text of the statement, with its comments. Statements that failed, or were only prepared, have none.
  const rows = await query(
    statistics,
    `SELECT DISTINCT substring(query FROM '/\\* ([a-z0-9_-]+) \\*/') AS name FROM pg_stat_statements WHERE calls > 0`,
  );
  const executed = new Set(rows.map(({ name }) => name));
  const names = (await everyStatement()).map(({ name }) => name);
  expect(names.filter((name) => !executed.has(name))).toEqual([]);
});

test("Postgres had room for all statements", async () => {
  expect(await query(statistics, "SELECT dealloc::integer FROM pg_stat_statements_info")).toEqual([{ dealloc: 0 }]);
});
