/** Checks the rows that a service has stored. */
import { isIP } from "node:net";
import pg from "pg";
import type { User } from "./model.ts";
import { administrator } from "./service.ts";

/** No text contains control characters, surrogates or noncharacters. */
const isPrintable = (text: string) => !/[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}\ufffd\u2028\u2029]/u.test(text);

/** What a client sends and gets back as it is, and what no page shows. */
const opaque = new Set(["authorization_codes.nonce"]);

const rules: Record<string, (value: string) => boolean> = {
  "users.username": (value) =>
    value === value.normalize("NFC") &&
    value === value.toLowerCase() &&
    !/[\s:\p{Cf}]/u.test(value) &&
    [...value].length <= 64,
  "users.password_hash": (value) => /^\$argon2id\$v=19\$m=\d+,t=\d+,p=1\$[\w+/]{22}\$[\w+/]{43}$/.test(value),
  "sessions.user_agent": (value) => value.length <= 256,
  "sessions.address": (value) => isIP(value) > 0,
  "familiar_networks.network": (value) => isIP(value.replace(/\/64$/, "")) > 0,
};

/**
 * Checks every text of every table, and the registered users.
 * @param users exactly the users that must exist
 * @returns a description of each invalid row
 */
export async function findInvalidRows(databaseUrl: string, users: User[] | undefined): Promise<string[]> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  try {
    const wrong: string[] = [];
    const { rows: columns } = await client.query<{ table: string; column: string }>(
      `SELECT table_name AS table, column_name AS column FROM information_schema.columns
       WHERE table_schema = 'latchkey' AND data_type IN ('text', 'character varying')`,
    );
    if (columns.length === 0) throw new Error("The database has no tables in the schema latchkey.");
    for (const { table, column } of columns) {
      const name = `${table}.${column}`;
      const { rows } = await client.query<{ value: string }>(
        `SELECT DISTINCT "${column}" AS value FROM latchkey."${table}" WHERE "${column}" IS NOT NULL`,
      );
      const isRight = rules[name] ?? (() => true);
      for (const { value } of rows) {
        if (!(isPrintable(value) || opaque.has(name)) || !isRight(value))
          wrong.push(`${name}: ${JSON.stringify(value)}`);
      }
    }
    if (!users) return wrong;
    const { rows } = await client.query<{ id: string; username: string }>(
      "SELECT id, username FROM latchkey.users WHERE username <> $1",
      [administrator[0]],
    );
    const expected = new Map(users.map(({ id, username }) => [username, id]));
    for (const { id, username } of rows) {
      // A user who registered on a page may have an unknown id.
      if (expected.get(username) !== "" && expected.get(username) !== id)
        wrong.push(`users: ${username} (${id}) exists and should not`);
      expected.delete(username);
    }
    for (const username of expected.keys()) wrong.push(`users: ${username} does not exist and should`);
    return wrong;
  } finally {
    await client.end();
  }
}

/** Deletes all users except the administrator, so that `findInvalidRows` can compare those that are registered from now on. */
export async function deleteUsers(databaseUrl: string): Promise<void> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query("DELETE FROM users WHERE username <> $1", [administrator[0]]).finally(() => client.end());
}
