/** Every SQL statement of src/ is prepared on the migrated schema: its parameters and columns are as declared. */
import { describe, expect, test } from "vitest";
import { connect, noTimeLimits } from "../../src/database/connect.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase } from "../support/service.ts";
import { describeStatement, everyStatement } from "../support/statements.ts";

const client = await connect(await createDatabase(), noTimeLimits);
afterTest(() => client.end());
const statements = await everyStatement();

describe("each statement fits the schema:", () => {
  test.each(statements.map((declared) => [declared.name, declared] as const))("%s", async (_, declared) => {
    const { parameters, columns } = await describeStatement(client, declared.text);
    const declaredParameters = Object.values(declared.parameters).map(({ name }) => name);
    expect([...parameters].sort()).toEqual(declaredParameters.sort());
    expect(columns.map(({ name, type }) => [name, type])).toEqual(
      Object.entries(declared.columns).map(([name, type]) => [name, type.name]),
    );
    // Postgres tells it for columns of tables, not for expressions.
    const undeclaredNulls = columns.filter(({ name, isNullable }) => isNullable && !declared.columns[name]?.isNullable);
    expect(undeclaredNulls).toEqual([]);
  });

  test("statements were found", () => {
    expect(statements.length).toBeGreaterThan(10);
  });
});

test.each([
  ["an unknown column", "SELECT nothing FROM users", 'column "nothing" does not exist'],
  ["a parameter of another type", "SELECT FROM users WHERE id = $1::integer", "operator does not exist"],
])("%s is found", async (_, text, message) => {
  await expect(describeStatement(client, text)).rejects.toThrow(message);
});

test("the type of each column is known, and whether it can be NULL", async () => {
  expect(await describeStatement(client, "SELECT id, user_agent, ended_at IS NULL AS live FROM sessions")).toEqual({
    parameters: [],
    columns: [
      { name: "id", type: "uuid", isNullable: false },
      { name: "user_agent", type: "text", isNullable: true },
      { name: "live", type: "boolean", isNullable: undefined },
    ],
  });
});
