import type { Knex } from "knex";

/** Functions that reduce the number of statements of a sign-in. The previous version does not call them. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Finds an account by id if one is given, otherwise by name. A statement that calls this function under a condition neither
    -- reads nor locks the table users if the condition is false. So an attempt that a limit rejects does not reveal whether the
    -- user exists.
    CREATE FUNCTION find_account(wanted_name text, wanted_id uuid)
      RETURNS TABLE (id uuid, username text, password_hash text, token_epoch integer)
      LANGUAGE plpgsql STABLE ROWS 1 AS $$
      #variable_conflict use_column
      BEGIN
        IF wanted_id IS NULL THEN
          RETURN QUERY SELECT id, username, password_hash, token_epoch FROM users WHERE username = wanted_name;
        ELSE
          RETURN QUERY SELECT id, username, password_hash, token_epoch FROM users WHERE id = wanted_id;
        END IF;
      END $$;

    -- Ends the oldest live sessions of a user, except for the given number of newer ones. A volatile function takes a new
    -- snapshot: it sees sessions that were created while the calling statement waited for the lock on the user.
    CREATE FUNCTION end_oldest_sessions(owner uuid, epoch integer, kept integer)
      RETURNS TABLE (id uuid, tokens_expire_at timestamptz)
      LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
      #variable_conflict use_column
      BEGIN
        RETURN QUERY
          UPDATE sessions SET ended_at = now()
          WHERE ended_at IS NULL AND least(idle_expires_at, expires_at) > now() AND id = ANY(ARRAY(
            SELECT id FROM sessions
            WHERE user_id = owner AND user_epoch = epoch
              AND ended_at IS NULL AND least(idle_expires_at, expires_at) > now()
            ORDER BY id DESC OFFSET kept))
          RETURNING id, tokens_expire_at;
      END $$;`);
}
