import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- A new key is published before it signs, so that verifiers know the key of every token.
    ALTER TABLE signing_keys ADD COLUMN activates_at timestamptz NOT NULL DEFAULT now();
    -- For a stolen key: its tokens are rejected, and it is no longer published.
    ALTER TABLE signing_keys ADD COLUMN revoked_at timestamptz;

    CREATE FUNCTION notify_signing_keys() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('latchkey_signing_keys', ''); RETURN NULL; END $$;
    CREATE TRIGGER signing_keys_notify AFTER INSERT OR UPDATE OR DELETE ON signing_keys
      FOR EACH STATEMENT EXECUTE FUNCTION notify_signing_keys();`);
}
