/** Statements are prepared once per connection, and again when necessary. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { statement } from "../../src/database/sql.ts";
import { integer, text } from "../../src/database/sqlTypes.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase, query } from "../support/service.ts";

const url = await createDatabase();
// A single connection, which all statements share.
const database = openDatabase(url, 1);
afterTest(() => database.close());

const one = statement({
  name: "test-one",
  sql: "SELECT :value AS one",
  parameters: { value: integer },
  columns: { one: integer },
});
const other = statement({ name: "test-other", sql: "SELECT 'a' AS other", columns: { other: text } });
const findLater = statement({
  name: "test-find-later",
  sql: "SELECT id FROM made_later WHERE id = :id",
  parameters: { id: integer },
  columns: { id: integer },
});

test("a statement is prepared once", async () => {
  expect(await database.read((knex) => one.rows(knex, { value: 1 }))).toEqual([{ one: 1 }]);
  expect(await database.read((knex) => one.rows(knex, { value: 2 }))).toEqual([{ one: 2 }]);
  expect(await database.read((knex) => other.rows(knex))).toEqual([{ other: "a" }]);
  const prepared = await database.read((knex) =>
    knex.raw<{ rows: object[] }>(
      "SELECT statement, generic_plans + custom_plans AS runs FROM pg_prepared_statements ORDER BY prepare_time",
    ),
  );
  expect(prepared.rows).toEqual([
    { statement: "SELECT /* test-one */ $1::integer AS one", runs: "2" },
    { statement: "SELECT /* test-other */ 'a' AS other", runs: "1" },
  ]);
});

test("a statement that failed to prepare, or whose table changed, is prepared again", async () => {
  const find = () => database.read((knex) => findLater.rows(knex, { id: 7 }));
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
