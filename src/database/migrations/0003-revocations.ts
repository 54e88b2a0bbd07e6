import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Revoked tokens. Every instance keeps the rows that have not expired in memory and follows this table, so that a
    -- token check needs no query.
    CREATE TABLE revocations (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      -- A token's jti, a session's id, a user's id or a key's kid.
      subject text NOT NULL,
      -- Tokens of the subject with a lower epoch are revoked.
      minimum_epoch integer NOT NULL,
      -- When every token that the row revokes has expired, so that the row can be deleted.
      expires_at timestamptz NOT NULL,
      -- Rows do not commit in the order of their ids, so a reader that remembers the last id would miss some. It
      -- remembers which transactions were visible at its last query.
      xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    );
    CREATE INDEX revocations_xid_idx ON revocations (xid, id);
    CREATE INDEX revocations_expires_at_idx ON revocations (expires_at);

    -- Wakes readers early. They also query once per second.
    CREATE FUNCTION notify_revocation() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('latchkey_revocations', ''); RETURN NULL; END $$;
    CREATE TRIGGER revocations_notify AFTER INSERT ON revocations
      FOR EACH STATEMENT EXECUTE FUNCTION notify_revocation();`);
}
