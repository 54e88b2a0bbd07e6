import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- A program that gets tokens by OAuth. The id has a form that no user's id has, because both are the subjects of tokens.
    CREATE TABLE clients (
      id text PRIMARY KEY,
      name text NOT NULL,
      -- administrator, dynamic (RFC 7591) or metadata-document (the id is the URL of the document)
      registration text NOT NULL DEFAULT 'administrator',
      -- none (a public client), client_secret or private_key_jwt
      authentication text NOT NULL,
      grant_types text[] NOT NULL,
      redirect_uris text[] NOT NULL DEFAULT '{}',
      post_logout_redirect_uris text[] NOT NULL DEFAULT '{}',
      scopes text[] NOT NULL DEFAULT '{}',
      -- The APIs that it may get tokens for, besides this service.
      audiences text[] NOT NULL DEFAULT '{}',
      -- Users are not asked for their consent.
      is_first_party boolean NOT NULL DEFAULT false,
      -- Of private_key_jwt: one of both.
      jwks jsonb,
      jwks_uri text,
      logo_uri text,
      client_uri text,
      policy_uri text,
      tos_uri text,
      -- When the document of a client whose id is its URL has to be fetched again.
      document_expires_at timestamptz,
      -- As in roles. Tokens of the client itself contain it.
      version integer NOT NULL GENERATED ALWAYS AS IDENTITY,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      -- When the cleanup last found that the client is in use. NULL: never, or registered by an administrator.
      last_used_at timestamptz
    );
    CREATE INDEX clients_unused_idx ON clients (coalesce(last_used_at, created_at)) WHERE registration <> 'administrator';

    CREATE TABLE client_secrets (
      id uuid PRIMARY KEY,
      client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
      digest bytea NOT NULL UNIQUE,
      last_four text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      last_used_at timestamptz,
      last_used_network text
    );
    CREATE INDEX client_secrets_client_id_idx ON client_secrets (client_id, id);

    -- What a user allows a client. A second consent of the same user adds to it.
    CREATE TABLE grants (
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
      audience text NOT NULL,
      scopes text[] NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (user_id, client_id, audience)
    );
    CREATE INDEX grants_client_id_idx ON grants (client_id);

    -- Decisions about authorization requests. A request is sealed and kept by the browser, so that strangers add no rows. A row is
    -- made when a signed-in user sees the request: another user cannot decide, nobody decides twice, and a decision is about what
    -- the user has seen.
    CREATE TABLE authorizations (
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
      client_version integer NOT NULL,
      audience text NOT NULL,
      scopes text[] NOT NULL,
      -- allowed or denied
      decision text,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX authorizations_expires_at_idx ON authorizations (expires_at);
    CREATE INDEX authorizations_user_id_idx ON authorizations (user_id);
    CREATE INDEX authorizations_client_id_idx ON authorizations (client_id);

    -- A code is kept after it was redeemed, so that a second use ends the session that the first one began.
    CREATE TABLE authorization_codes (
      digest bytea PRIMARY KEY,
      client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- The epoch of the user when the code was issued: what ends the user's tokens ends the code.
      user_epoch integer NOT NULL,
      grant_id uuid NOT NULL,
      redirect_uri text NOT NULL,
      code_challenge text NOT NULL,
      nonce text,
      audience text NOT NULL,
      scopes text[] NOT NULL,
      authenticated_at timestamptz NOT NULL,
      -- The session in which the user allowed it. NULL: with a password.
      deciding_session_id uuid,
      -- RFC 9449, section 10
      dpop_jkt text,
      expires_at timestamptz NOT NULL,
      redeemed_at timestamptz,
      -- The session that the code began.
      session_id uuid
    );
    CREATE INDEX authorization_codes_expires_at_idx ON authorization_codes (expires_at);
    CREATE INDEX authorization_codes_user_id_idx ON authorization_codes (user_id);
    CREATE INDEX authorization_codes_client_id_idx ON authorization_codes (client_id);

    CREATE TABLE device_codes (
      digest bytea PRIMARY KEY,
      -- An HMAC: there are few user codes, so that a digest could be guessed.
      user_code_hmac bytea NOT NULL UNIQUE,
      client_id text NOT NULL REFERENCES clients ON DELETE CASCADE,
      audience text NOT NULL,
      scopes text[] NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz NOT NULL,
      -- Raised by 5 each time that the client polls too early (RFC 8628, section 3.5).
      interval_seconds integer NOT NULL,
      last_polled_at timestamptz,
      user_id uuid REFERENCES users ON DELETE CASCADE,
      user_epoch integer,
      grant_id uuid,
      -- allowed or denied
      decision text,
      authenticated_at timestamptz,
      redeemed_at timestamptz,
      -- The session that the code began. A use long after the first one ends it.
      session_id uuid
    );
    CREATE INDEX device_codes_expires_at_idx ON device_codes (expires_at);
    CREATE INDEX device_codes_user_id_idx ON device_codes (user_id);
    CREATE INDEX device_codes_client_id_idx ON device_codes (client_id);

    -- Digests of what may be used once until it expires: the jti of client assertions and of DPoP proofs. Logged, so that a crash
    -- does not make them usable again.
    CREATE TABLE used_proofs (
      digest bytea PRIMARY KEY,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX used_proofs_expires_at_idx ON used_proofs (expires_at);

    ALTER TABLE sessions
      -- The client that has the refresh token. NULL: the user's own program, or a browser.
      ADD COLUMN IF NOT EXISTS client_id text REFERENCES clients ON DELETE CASCADE,
      -- What the user allowed the client.
      ADD COLUMN IF NOT EXISTS grant_id uuid,
      -- A session of a browser at the pages of this service. It has a cookie instead of a refresh token.
      ADD COLUMN IF NOT EXISTS is_browser boolean NOT NULL DEFAULT false,
      -- When the user authenticated. NULL: when the session began.
      ADD COLUMN IF NOT EXISTS authenticated_at timestamptz,
      -- The key that the refresh token of a public client is bound to (RFC 9449).
      ADD COLUMN IF NOT EXISTS dpop_jkt text;
    CREATE INDEX IF NOT EXISTS sessions_client_id_idx ON sessions (client_id) WHERE client_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS sessions_grant_id_idx ON sessions (grant_id) WHERE grant_id IS NOT NULL;`);
}
