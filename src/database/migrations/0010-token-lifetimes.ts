import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The lifetimes of the tokens that are in use. A revocation is kept until the last token that it revokes has expired.
    -- This table determines that time: each instance records its TOKEN_TTL_SECONDS before it issues a token, and renews
    -- the record.
    CREATE TABLE token_lifetimes (
      seconds integer PRIMARY KEY,
      -- Tokens of this lifetime are issued until then, unless the record is renewed. It never goes back.
      issued_until timestamptz NOT NULL
    );
    -- The previous version records nothing, and may issue tokens of any lifetime. It is expected to stop within a week. If
    -- there is no signing key, no version has ever run.
    INSERT INTO token_lifetimes (seconds, issued_until)
      SELECT 86400, now() + interval '7 days' WHERE EXISTS (SELECT FROM signing_keys);

    -- Each subject has one entry, which further revocations update. The previous version inserts an entry each time, so its
    -- entries are not unique.
    ALTER TABLE revocations ADD COLUMN is_unique boolean NOT NULL DEFAULT false;
    CREATE UNIQUE INDEX revocations_subject_idx ON revocations (subject) WHERE is_unique;`);
}
