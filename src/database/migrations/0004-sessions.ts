import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE sessions (
      -- A UUIDv7: in the order of the ids is in the order of time.
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- The user's token epoch when the session began. It is dead once the user's is another one, so
      -- that signing out everywhere touches one row however many sessions there are.
      user_epoch integer NOT NULL,
      -- Which refresh token of the session is the next to be used, by number and by digest. The
      -- secret itself is nowhere; what it is derived from is the seed and SECRET_KEY.
      generation integer NOT NULL DEFAULT 0,
      refresh_digest bytea NOT NULL,
      seed bytea NOT NULL,
      -- When the last rotations were, the newest first: which used tokens may still be asked again for
      -- their successor.
      recent_rotations timestamptz[] NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now(),
      last_used_at timestamptz NOT NULL DEFAULT now(),
      -- Without a refresh, and in any case.
      idle_expires_at timestamptz NOT NULL,
      expires_at timestamptz NOT NULL,
      -- When the last access token of the session has expired: how long its end must be remembered.
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
