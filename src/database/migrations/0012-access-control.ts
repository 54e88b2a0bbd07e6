import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- First, because it takes about a second for each million users: it lets others read the table, which the next statement
    -- does not.
    CREATE INDEX IF NOT EXISTS users_username_prefix_idx ON users (username text_pattern_ops);

    ALTER TABLE users
      ADD COLUMN IF NOT EXISTS blocked_at timestamptz,
      -- Raised by each change of blocked_at or of the roles, for the user's ETag.
      ADD COLUMN IF NOT EXISTS version integer NOT NULL DEFAULT 1;
    CREATE INDEX IF NOT EXISTS users_blocked_idx ON users (username text_pattern_ops) WHERE blocked_at IS NOT NULL;

    -- A blocked user is like an unknown one: the password is not accepted. An instance of the previous version calls this
    -- function as well.
    CREATE OR REPLACE FUNCTION find_account(wanted_name text, wanted_id uuid)
      RETURNS TABLE (id uuid, username text, password_hash text, token_epoch integer)
      LANGUAGE plpgsql STABLE ROWS 1 AS $$
      #variable_conflict use_column
      BEGIN
        IF wanted_id IS NULL THEN
          RETURN QUERY SELECT id, username, password_hash, token_epoch FROM users
            WHERE username = wanted_name AND blocked_at IS NULL;
        ELSE
          RETURN QUERY SELECT id, username, password_hash, token_epoch FROM users
            WHERE id = wanted_id AND blocked_at IS NULL;
        END IF;
      END $$;

    -- As find_account, for the audit log: says whether the account is blocked, without its password.
    CREATE FUNCTION find_sign_in_account(wanted_name text, wanted_id uuid)
      RETURNS TABLE (id uuid, username text, password_hash text, token_epoch integer)
      LANGUAGE plpgsql STABLE ROWS 1 AS $$
      #variable_conflict use_column
      BEGIN
        IF wanted_id IS NULL THEN
          RETURN QUERY SELECT id, username, CASE WHEN blocked_at IS NULL THEN password_hash END, token_epoch FROM users
            WHERE username = wanted_name;
        ELSE
          RETURN QUERY SELECT id, username, CASE WHEN blocked_at IS NULL THEN password_hash END, token_epoch FROM users
            WHERE id = wanted_id;
        END IF;
      END $$;

    -- A named set of scopes. Every user has the role default. The role administrator has every scope, whatever is stored.
    CREATE TABLE roles (
      name text PRIMARY KEY,
      description text NOT NULL DEFAULT '',
      scopes text[] NOT NULL DEFAULT '{}',
      -- Drawn anew by each change. Tokens for other services contain it, so that the revocation list can end those that were
      -- issued before a change. A sequence, so that a role that is deleted and created again never has an earlier number.
      version integer NOT NULL GENERATED ALWAYS AS IDENTITY,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO roles (name, description) VALUES
      ('administrator', 'Has every scope.'),
      ('default', 'The role of every user.');

    CREATE TABLE user_roles (
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      role text NOT NULL REFERENCES roles ON DELETE CASCADE,
      PRIMARY KEY (user_id, role)
    );
    CREATE INDEX user_roles_role_idx ON user_roles (role, user_id);

    -- The last administrator who is not blocked cannot be removed, however that is attempted, unless a restore repeats what was
    -- done. The lock serializes concurrent changes, and a volatile function sees what others committed while it waited.
    CREATE FUNCTION require_administrator() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
      BEGIN
        IF current_setting('latchkey_restore.repeats_changes', true) = 'on' THEN RETURN NULL;
        END IF;
        IF TG_TABLE_NAME = 'users' THEN
          IF NOT EXISTS (SELECT FROM user_roles WHERE user_id = NEW.id AND role = 'administrator') THEN RETURN NULL;
          END IF;
        END IF;
        PERFORM FROM roles WHERE name = 'administrator' FOR NO KEY UPDATE;
        IF NOT EXISTS (
          SELECT FROM user_roles JOIN users ON users.id = user_id WHERE role = 'administrator' AND blocked_at IS NULL) THEN
          RAISE EXCEPTION 'no administrator would be left' USING ERRCODE = 'check_violation', CONSTRAINT = 'last_administrator';
        END IF;
        RETURN NULL;
      END $$;
    CREATE TRIGGER user_roles_last_administrator AFTER DELETE ON user_roles
      FOR EACH ROW WHEN (OLD.role = 'administrator') EXECUTE FUNCTION require_administrator();
    CREATE OR REPLACE TRIGGER users_last_administrator AFTER UPDATE OF blocked_at ON users
      FOR EACH ROW WHEN (OLD.blocked_at IS NULL AND NEW.blocked_at IS NOT NULL) EXECUTE FUNCTION require_administrator();

    -- An API of another service (RFC 6749: resource server), for which tokens are issued.
    CREATE TABLE apis (
      audience text PRIMARY KEY,
      name text NOT NULL,
      -- [{"name": …, "description": …}]
      scopes jsonb NOT NULL DEFAULT '[]',
      token_ttl_seconds integer,
      -- The OpenAPI document of the API as JSON, which forward-auth enforces. As text, because jsonb rejects some JSON.
      contract text,
      -- As in roles.
      version integer NOT NULL GENERATED ALWAYS AS IDENTITY,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );

    ALTER TABLE sessions
      -- The API that the tokens of the session are for. NULL: this service, and any API that a refresh names.
      ADD COLUMN IF NOT EXISTS audience text,
      -- The scopes of the session. NULL: all that the user has.
      ADD COLUMN IF NOT EXISTS scopes text[];

    CREATE TABLE api_keys (
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      name text NOT NULL,
      scopes text[] NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz
    );
    CREATE INDEX api_keys_user_id_idx ON api_keys (user_id, id);

    -- A key has one secret, and two while it is being rotated.
    CREATE TABLE api_key_secrets (
      digest bytea PRIMARY KEY,
      key_id uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
      last_four text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      -- The end of the overlap after a rotation.
      expires_at timestamptz,
      last_used_at timestamptz,
      last_used_network text
    );
    CREATE INDEX api_key_secrets_key_id_idx ON api_key_secrets (key_id);
    CREATE INDEX api_key_secrets_expires_at_idx ON api_key_secrets (expires_at) WHERE expires_at IS NOT NULL;

    -- Actor and subject are stored by id and by name, and refer to no row: the events outlive the user.
    CREATE TABLE audit_events (
      id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
      occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      event text NOT NULL,
      actor_id text,
      actor_name text,
      subject_id text,
      subject_name text,
      address text,
      request_id uuid,
      details jsonb NOT NULL DEFAULT '{}'
    );
    CREATE INDEX audit_events_subject_id_idx ON audit_events (subject_id, id) WHERE subject_id IS NOT NULL;
    CREATE INDEX audit_events_actor_id_idx ON audit_events (actor_id, id) WHERE actor_id IS NOT NULL;
    CREATE INDEX audit_events_event_idx ON audit_events (event, id);
    -- For an event that a busy account never had, and others had often: with the indexes above, all of one or the other are read.
    CREATE INDEX audit_events_subject_event_idx ON audit_events (subject_id, event, id) WHERE subject_id IS NOT NULL;
    CREATE INDEX audit_events_actor_event_idx ON audit_events (actor_id, event, id) WHERE actor_id IS NOT NULL;
    CREATE INDEX audit_events_request_id_idx ON audit_events (request_id) WHERE request_id IS NOT NULL;

    DO $$
    DECLARE
      -- The view of migration 0009, if there is one. It is locked before its table, as by the queries of the previous version.
      view CONSTANT text := (SELECT oid::regclass FROM pg_class WHERE relname = 'signing_keys' AND relkind = 'v'
        AND obj_description(oid, 'pg_class') LIKE 'For instances of the previous version of Latchkey.%');
    BEGIN
      IF view IS NOT NULL THEN EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', view);
      END IF;
      -- The previous version makes Ed25519 keys only.
      ALTER TABLE signing_keys ADD COLUMN IF NOT EXISTS algorithm text NOT NULL DEFAULT 'EdDSA';
      -- It would publish every other key as an Ed25519 key.
      IF view IS NOT NULL THEN
        EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT ctid, * FROM signing_keys WHERE algorithm = %L', view, 'EdDSA');
      END IF;
    END $$;`);
}
