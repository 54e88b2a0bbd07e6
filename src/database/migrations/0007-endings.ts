import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The recent rotations, the newest first, each as 'generation second xid network': the generation that it began,
    -- the time and the number of its transaction, and the network that asked for it. The generation is part of each entry, since the
    -- previous version writes recent_rotations alone: an entry may be missing, and the others still mean the same.
    ALTER TABLE sessions ADD COLUMN rotations text[] NOT NULL DEFAULT '{}';
    -- last_used_at and idle_expires_at as they were when the present hour began. A list shows these, so that nobody
    -- who polls it sees when a refresh token is used.
    ALTER TABLE sessions ADD COLUMN listed_used_at timestamptz;
    ALTER TABLE sessions ADD COLUMN listed_idle_expires_at timestamptz;

    -- The token epoch that the last change of the password began. After a restore it tells whether a change that
    -- the audit log knows is in the database. A request that has verified a password takes effect only where it is not
    -- higher than the epoch that the request has read: each statement that replaces password_hash must set it to a
    -- raised token_epoch, except where the new hash is of the same password.
    ALTER TABLE users ADD COLUMN password_epoch integer NOT NULL DEFAULT 0;

    -- One row: the epoch of users who register. It is raised, with every user's epoch, to end all tokens of everybody.
    CREATE TABLE epoch_floor (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      minimum_epoch integer NOT NULL
    );
    INSERT INTO epoch_floor (minimum_epoch) VALUES (0);
    CREATE FUNCTION first_token_epoch() RETURNS integer LANGUAGE sql VOLATILE
      RETURN (SELECT minimum_epoch FROM epoch_floor);
    ALTER TABLE users ALTER COLUMN token_epoch SET DEFAULT first_token_epoch();`);
}
