/** SQL statements are declared with their types, and run with them. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/database/database.ts";
import { statement } from "../../src/database/sql.ts";
import {
  arrayOf,
  bigint,
  bytea,
  double,
  integer,
  json,
  nullable,
  text,
  timestamptz,
} from "../../src/database/sqlTypes.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase } from "../support/service.ts";

const database = openDatabase(await createDatabase(), 1);
afterTest(() => database.close());

const everyType = statement({
  name: "test-every-type",
  sql: `SELECT :text AS text, :integer AS integer, :bigint AS bigint, :double AS double, :bytes AS bytes, :time AS time,
          :texts AS texts, :nothing AS nothing, json_build_object('a', :text) AS json, (ARRAY[1, 2, 3])[1:2] AS slice`,
  parameters: {
    text,
    integer,
    bigint,
    double,
    bytes: bytea,
    time: timestamptz,
    texts: arrayOf(text),
    nothing: nullable(integer),
  },
  columns: {
    text,
    integer,
    bigint,
    double,
    bytes: bytea,
    time: timestamptz,
    texts: arrayOf(text),
    nothing: nullable(integer),
    json: json<{ a: string }>(),
    slice: arrayOf(integer),
  },
});

const numbers = statement({
  name: "test-numbers",
  sql: "SELECT generate_series(1, :last) AS number",
  parameters: { last: integer },
  columns: { number: integer },
});

test("values and rows have the declared types", async () => {
  const values = {
    text: "it's",
    integer: -1,
    bigint: "9007199254740993",
    double: 0.1,
    bytes: Buffer.from([0, 255]),
    time: new Date("2026-01-02T03:04:05.678Z"),
    texts: ["a", '"', "{}"],
    nothing: null,
  };
  const row = await database.read((knex) => everyType.one(knex, values));
  expect(row).toEqual({ ...values, json: { a: "it's" }, slice: [1, 2] });
});

test("gives all rows, the first one, the only one or their number", async () => {
  expect(await database.read((knex) => numbers.rows(knex, { last: 2 }))).toEqual([{ number: 1 }, { number: 2 }]);
  expect(await database.read((knex) => numbers.first(knex, { last: 2 }))).toEqual({ number: 1 });
  expect(await database.read((knex) => numbers.first(knex, { last: 0 }))).toBeUndefined();
  expect(await database.read((knex) => numbers.count(knex, { last: 3 }))).toBe(3);
  for (const last of [0, 2]) {
    await expect(database.read((knex) => numbers.one(knex, { last }))).rejects.toThrow("test-numbers did not return");
  }
});

test("refuses a name that is in use, and parameters that differ from the SQL", () => {
  const declare = (name: string, sql: string) => () => statement({ name, sql, parameters: { a: text } });
  expect(declare("test-numbers", "SELECT :a")).toThrow("two statements with the name test-numbers");
  expect(declare("test-unknown", "SELECT :a, :b")).toThrow("test-unknown has no parameter b");
  expect(declare("test-unused", "SELECT 1::text")).toThrow("test-unused does not use its parameter a");
});

test("runs in a transaction, and not after its end", async () => {
  const transaction = await database.write((knex) => knex.transaction());
  await transaction.raw("CREATE TEMPORARY TABLE seen ON COMMIT DROP AS SELECT 7 AS number");
  const inTransaction = statement({ name: "test-seen", sql: "SELECT number FROM seen", columns: { number: integer } });
  expect(await inTransaction.one(transaction)).toEqual({ number: 7 });
  await transaction.commit();
  await expect(inTransaction.one(transaction)).rejects.toThrow("the transaction has ended");
});
