import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The lifetimes of the tokens in use. A revocation is kept until the last token that it revokes has expired. To know when that is,
    -- each instance records its TOKEN_TTL_SECONDS before it issues a token, and renews the record.
    CREATE TABLE token_lifetimes (
      seconds integer PRIMARY KEY,
      -- Tokens of this lifetime are issued until this time. A renewal only moves it forward.
      issued_until timestamptz NOT NULL
    );
    -- The previous version records nothing, and may issue tokens of any lifetime. It is expected to be updated within a week. If there
    -- is no signing key, no version has run before.
    INSERT INTO token_lifetimes (seconds, issued_until)
      SELECT 86400, now() + interval '7 days' WHERE EXISTS (SELECT FROM signing_keys);

    -- A subject has one entry, which another revocation raises. The previous version inserts an entry for each revocation, so its
    -- entries are not unique.
    ALTER TABLE revocations ADD COLUMN is_unique boolean NOT NULL DEFAULT false;
    CREATE UNIQUE INDEX revocations_subject_idx ON revocations (subject) WHERE is_unique;`);
}
