import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The recent rotations, the newest first, each as 'generation second xid network': the new generation, the time and
    -- id of the transaction, and the network of the request. Each entry contains its generation, because the previous
    -- version writes only recent_rotations: entries may be missing.
    ALTER TABLE sessions ADD COLUMN rotations text[] NOT NULL DEFAULT '{}';
    -- last_used_at and idle_expires_at at the start of the current hour. The session list shows these, so that it does
    -- not reveal when a refresh token is used.
    ALTER TABLE sessions ADD COLUMN listed_used_at timestamptz;
    ALTER TABLE sessions ADD COLUMN listed_idle_expires_at timestamptz;

    -- The token epoch that started with the last password change. After a restore it shows whether the database contains a change
    -- that is in the audit log. A request that has verified a password takes effect only if this is not higher than the
    -- epoch that the request has read. So each statement that replaces password_hash must set it to a raised
    -- token_epoch, unless the new hash is of the same password.
    ALTER TABLE users ADD COLUMN password_epoch integer NOT NULL DEFAULT 0;

    -- One row: the epoch of new users. Raising it together with the epochs of all users revokes all tokens.
    CREATE TABLE epoch_floor (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      minimum_epoch integer NOT NULL
    );
    INSERT INTO epoch_floor (minimum_epoch) VALUES (0);
    CREATE FUNCTION first_token_epoch() RETURNS integer LANGUAGE sql VOLATILE
      RETURN (SELECT minimum_epoch FROM epoch_floor);
    ALTER TABLE users ALTER COLUMN token_epoch SET DEFAULT first_token_epoch();`);
}
