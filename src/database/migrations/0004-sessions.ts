import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE sessions (
      -- A UUIDv7, so that ids are in the order of creation.
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- The user's token epoch when the session began. If the user's epoch differs, the session has ended. So ending all sessions
      -- of a user updates one row.
      user_epoch integer NOT NULL,
      -- The expected refresh token, by number and by digest. Its secret is not stored: it is derived from the seed and SECRET_KEY.
      generation integer NOT NULL DEFAULT 0,
      refresh_digest bytea NOT NULL,
      seed bytea NOT NULL,
      -- The times of the last rotations, the newest first. They decide which used tokens still return their successor.
      recent_rotations timestamptz[] NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now(),
      last_used_at timestamptz NOT NULL DEFAULT now(),
      -- Without a refresh the session expires at idle_expires_at, in any case at expires_at.
      idle_expires_at timestamptz NOT NULL,
      expires_at timestamptz NOT NULL,
      -- When the last access token of the session has expired. Until then, a revocation of the session must be kept.
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
