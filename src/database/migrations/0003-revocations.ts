import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- What ends tokens before their time. Every instance holds the live rows in memory and follows
    -- this table, so that checking a token costs no query.
    CREATE TABLE revocations (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      -- A token's jti, a session's id, a user's id or a key's kid.
      subject text NOT NULL,
      -- Tokens of the subject with a lower epoch are dead.
      minimum_epoch integer NOT NULL,
      -- When the last token that it could concern has expired: then the row means nothing any more.
      expires_at timestamptz NOT NULL,
      -- Rows commit in another order than their ids: a reader that goes by ids would miss some. It
      -- goes by what was not visible when it last looked.
      xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    );
    CREATE INDEX revocations_xid_idx ON revocations (xid, id);
    CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

    -- Only wakes the followers early. They look every second by themselves.
    CREATE FUNCTION notify_revocation() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('latchkey_revocations', ''); RETURN NULL; END $$;
    CREATE TRIGGER revocations_notify AFTER INSERT ON revocations
      FOR EACH STATEMENT EXECUTE FUNCTION notify_revocation();`);
}
