import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE users (
      id uuid PRIMARY KEY,
      -- In the form of RFC 8265 (lower case, NFC), so that the constraint also rejects names that differ only in
      -- case or normal form.
      username text NOT NULL CONSTRAINT users_username_key UNIQUE,
      -- A PHC string. It contains the algorithm and its cost, so that the cost can be raised later.
      password_hash text NOT NULL,
      -- Raised to reject all earlier tokens. An integer, because clocks can differ.
      token_epoch integer NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
