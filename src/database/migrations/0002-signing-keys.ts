import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE signing_keys (
      -- The RFC 7638 thumbprint, so that the same key cannot be stored twice.
      kid text PRIMARY KEY,
      -- The private key, as a JWE under SECRET_KEY, so that a dump of the database cannot sign. The public key is derived from it,
      -- so that nobody can add a key without SECRET_KEY.
      private_jwe text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
}
