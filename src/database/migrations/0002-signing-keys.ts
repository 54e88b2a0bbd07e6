import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE signing_keys (
      -- The RFC 7638 thumbprint: the same key cannot be there twice.
      kid text PRIMARY KEY,
      -- The private key, as a JWE under SECRET_KEY: a dump of the database signs nothing. The public
      -- half is taken from it, so that nobody without SECRET_KEY can add a key.
      private_jwe text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
