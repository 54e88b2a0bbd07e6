import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Revokes tokens before they expire. Every instance keeps the unexpired rows in memory, so that the check of a token takes no
    -- query.
    CREATE TABLE revocations (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      -- A token's jti, a session's id, a user's id or a key's kid.
      subject text NOT NULL,
      -- Tokens of the subject with a lower epoch are revoked.
      minimum_epoch integer NOT NULL,
      -- When the last token that the row revokes has expired, and the row can be deleted.
      expires_at timestamptz NOT NULL,
      -- Transactions do not commit in the order of the ids, so a reader cannot find new rows by id. It reads the rows whose
      -- transactions were not visible at its last read.
      xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    );
    CREATE INDEX revocations_xid_idx ON revocations (xid, id);
    CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

    -- Makes instances read at once. They also read every second.
    CREATE FUNCTION notify_revocation() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('latchkey_revocations', ''); RETURN NULL; END $$;
    CREATE TRIGGER revocations_notify AFTER INSERT ON revocations
      FOR EACH STATEMENT EXECUTE FUNCTION notify_revocation();`);
}
