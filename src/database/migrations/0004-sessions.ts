import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE sessions (
      -- A UUIDv7: the order of the ids is the order of creation.
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- The user's token epoch when the session started. The session has ended if the user's epoch differs, so that
      -- signing out everywhere changes one row, however many sessions there are.
      user_epoch integer NOT NULL,
      -- The number and the digest of the current refresh token. The token itself is not stored: it is derived from
      -- the seed and SECRET_KEY.
      generation integer NOT NULL DEFAULT 0,
      refresh_digest bytea NOT NULL,
      seed bytea NOT NULL,
      -- The times of the last rotations, the newest first. They decide which used tokens may be repeated.
      recent_rotations timestamptz[] NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now(),
      last_used_at timestamptz NOT NULL DEFAULT now(),
      -- When the session ends without a refresh, and when it ends in any case.
      idle_expires_at timestamptz NOT NULL,
      expires_at timestamptz NOT NULL,
      -- When the last access token of the session expires. Its revocation is kept until then.
      tokens_expire_at timestamptz NOT NULL,
      ended_at timestamptz,
      user_agent text,
      address text
    );
    CREATE INDEX sessions_user_id_idx ON sessions (user_id, id);
    CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
    CREATE INDEX sessions_idle_expires_at_idx ON sessions (idle_expires_at);
    CREATE INDEX sessions_ended_at_idx ON sessions (ended_at) WHERE ended_at IS NOT NULL;`);
}
