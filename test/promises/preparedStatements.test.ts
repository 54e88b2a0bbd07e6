/** Statements are prepared once per connection, and again when necessary. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";

const url = await createDatabase();
// A single connection, which all statements share.
const database = openDatabase(url, 1);
afterTest(() => database.close());

const read = async (sql: string, values: unknown[] = []) => {
  const { rows } = await database.read((knex) => knex.raw<{ rows: object[] }>(sql, values as never));
  return rows;
};
const prepared = () =>
  read("SELECT statement, generic_plans + custom_plans AS runs FROM pg_prepared_statements ORDER BY prepare_time");

test("a statement with parameters is prepared once; one without is not", async () => {
  await read("SELECT 1 AS plain");
  expect(await read("SELECT ?::integer AS one", [1])).toEqual([{ one: 1 }]);
  expect(await read("SELECT ?::integer AS one", [2])).toEqual([{ one: 2 }]);
  expect(await read("SELECT ?::text AS other", ["a"])).toEqual([{ other: "a" }]);
  expect(await prepared()).toEqual([
    { statement: "SELECT $1::integer AS one", runs: "2" },
    { statement: "SELECT $1::text AS other", runs: "1" },
  ]);
});

test("a statement that failed to prepare, or whose table changed, is prepared again", async () => {
  const find = () => read("SELECT id FROM made_later WHERE id = ?", [7]);
  await expect(find()).rejects.toThrow("made_later");
  await query(url, "CREATE TABLE made_later (id integer)");
  expect(await find()).toEqual([]);
  // As a newer version does, started beside this one.
  await query(url, "ALTER TABLE made_later ADD COLUMN more text");
  await query(url, "INSERT INTO made_later VALUES (7, 'x')");
  expect(await find()).toEqual([{ id: 7 }]);
  await query(url, "ALTER TABLE made_later RENAME TO gone");
  await expect(find()).rejects.toThrow("made_later");
  await query(url, "ALTER TABLE gone RENAME TO made_later");
  expect(await find()).toEqual([{ id: 7 }]);
});
