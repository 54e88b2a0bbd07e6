import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The recent rotations, the newest first, each as 'generation second xid network': the generation that it began, the time and the
    -- id of its transaction, and the client's network. Each entry contains its generation, because the previous version only writes
    -- recent_rotations, so that an entry can be missing.
    ALTER TABLE sessions ADD COLUMN rotations text[] NOT NULL DEFAULT '{}';
    -- last_used_at and idle_expires_at at the beginning of the current hour. The list of sessions shows these, so that polling it does
    -- not reveal when a refresh token is used.
    ALTER TABLE sessions ADD COLUMN listed_used_at timestamptz;
    ALTER TABLE sessions ADD COLUMN listed_idle_expires_at timestamptz;

    -- The token epoch that the last password change began. After a restore, it shows whether a change in the audit log is in the
    -- database. A request that verified a password takes effect only if password_epoch is not higher than the epoch that the request
    -- read. So each statement that replaces password_hash must raise token_epoch and set password_epoch to it, unless the new hash is
    -- of the same password.
    ALTER TABLE users ADD COLUMN password_epoch integer NOT NULL DEFAULT 0;

    -- One row: the epoch of new users. To revoke all tokens of all users, it is raised together with every user's epoch.
    CREATE TABLE epoch_floor (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      minimum_epoch integer NOT NULL
    );
    INSERT INTO epoch_floor (minimum_epoch) VALUES (0);
    CREATE FUNCTION first_token_epoch() RETURNS integer LANGUAGE sql VOLATILE
      RETURN (SELECT minimum_epoch FROM epoch_floor);
    ALTER TABLE users ALTER COLUMN token_epoch SET DEFAULT first_token_epoch();`);
}
