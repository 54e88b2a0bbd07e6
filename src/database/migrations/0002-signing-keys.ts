import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE signing_keys (
      -- The thumbprint of RFC 7638, so that a key cannot be stored twice.
      kid text PRIMARY KEY,
      -- The private key, as a JWE encrypted with SECRET_KEY: a dump of the database cannot sign. The public key is
      -- derived from it, so that nobody without SECRET_KEY can add a key.
      private_jwe text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
