import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE users (
      id uuid PRIMARY KEY,
      -- In the form of RFC 8265 (lower case, NFC), so that the constraint also rejects other spellings of a name.
      username text NOT NULL CONSTRAINT users_username_key UNIQUE,
      -- A PHC string. It contains the algorithm and the cost, so that the cost can be raised later.
      password_hash text NOT NULL,
      -- Raised to revoke all earlier tokens of the user. An integer and not a time, because clocks differ.
      token_epoch integer NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
