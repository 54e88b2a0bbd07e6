/** Every SQL statement that src/ declares, and what Postgres says about a statement without running it. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type pg from "pg";
import { declaredStatements } from "../../src/database/sql.ts";

/** Loads each module of src/ that declares statements. */
export async function everyStatement(): Promise<ReturnType<typeof declaredStatements>> {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  for (const file of files) {
    const path = resolve(join("src", file));
    if (/\bstatement\(\{/.test(readFileSync(path, "utf8"))) await import(pathToFileURL(path).href);
  }
  return declaredStatements().filter(({ name }) => !name.startsWith("test-"));
}

type Column = { name: string; type: string; isNullable: boolean | undefined };

/**
 * Lets Postgres parse and plan a statement.
 * @returns the types of its parameters, and its columns; `isNullable` is undefined for an expression
 * @throws the error of Postgres
 */
export async function describeStatement(
  client: pg.Client,
  text: string,
): Promise<{ parameters: string[]; columns: Column[] }> {
  const { parameterTypes, fields } = await prepare(client, text);
  const { rows: types } = await client.query<{ type: string }>({
    text: "SELECT format_type(oid, NULL) AS type FROM unnest($1::oid[]) WITH ORDINALITY AS types (oid, n) ORDER BY n",
    values: [[...parameterTypes, ...fields.map(({ dataTypeID }) => dataTypeID)]],
  });
  const { rows: nullable } = await client.query<{ isNullable: boolean | null }>({
    text: `SELECT NOT attnotnull AS "isNullable"
      FROM unnest($1::oid[], $2::smallint[]) WITH ORDINALITY AS columns (relation, number, n)
      LEFT JOIN pg_attribute ON attrelid = relation AND attnum = number ORDER BY n`,
    values: [fields.map(({ tableID }) => tableID), fields.map(({ columnID }) => columnID)],
  });
  const names = types.map(({ type }) => type);
  return {
    parameters: names.slice(0, parameterTypes.length),
    columns: fields.map(({ name }, index) => ({
      name,
      type: names[parameterTypes.length + index] ?? "",
      isNullable: nullable[index]?.isNullable ?? undefined,
    })),
  };
}

type Prepared = { parameterTypes: number[]; fields: pg.FieldDef[] };

/** Sends Parse and Describe of the extended query protocol, which `pg` cannot do without Execute. */
function prepare(client: pg.Client, text: string): Promise<Prepared> {
  return new Promise((fulfil, reject) => {
    const prepared: Prepared = { parameterTypes: [], fields: [] };
    client.query({
      submit(connection) {
        connection.once("parameterDescription", ({ dataTypeIDs }: { dataTypeIDs: number[] }) => {
          prepared.parameterTypes = dataTypeIDs;
        });
        connection.parse({ text, name: "", types: [] }, false);
        connection.describe({ type: "S", name: "" }, false);
        connection.sync();
      },
      handleRowDescription: ({ fields }: { fields: pg.FieldDef[] }) => {
        prepared.fields = fields;
      },
      handleReadyForQuery: () => fulfil(prepared),
      handleError: reject,
    } as pg.Submittable);
  });
}
