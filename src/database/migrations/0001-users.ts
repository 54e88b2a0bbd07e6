import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE users (
      id uuid PRIMARY KEY,
      -- In the form of RFC 8265 (lower case, NFC): the constraint is what makes a name unique,
      -- whatever the case and the normal form that it was typed in.
      username text NOT NULL CONSTRAINT users_username_key UNIQUE,
      -- A PHC string: it says its own algorithm and cost, so that the cost can be raised later.
      password_hash text NOT NULL,
      -- Raised to refuse every token issued before: an integer, since clocks differ and this cannot.
      token_epoch integer NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
