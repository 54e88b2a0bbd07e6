import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Attempts among the points whose password is still being checked. They show whether a limit is reached or only busy.
    ALTER TABLE throttle ADD COLUMN pending integer NOT NULL DEFAULT 0;
    -- Older keys are plain digests of typed usernames. If a user typed a password there, it could be recovered. Rows that
    -- the previous version still writes are deleted within three hours.
    DELETE FROM throttle;

    -- Consecutive wrong passwords for a username, whether or not the user exists, until the right password or until the
    -- row expires. Logged, unlike throttle, because the count must survive a crash.
    CREATE TABLE password_failures (
      -- An HMAC of the name.
      key text PRIMARY KEY,
      failures integer NOT NULL,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX password_failures_expires_at_idx ON password_failures (expires_at);

    -- An HMAC of the username and the network, so that no lookup of the user is needed. NULL in rows of the previous
    -- version until the next sign-in.
    ALTER TABLE familiar_networks ADD COLUMN key text UNIQUE;

    -- Whether the password was used there. A network with only refreshes never replaces such a network, because the
    -- refresh token may be stolen. It is deleted when a theft is detected.
    ALTER TABLE familiar_networks ADD COLUMN by_password boolean NOT NULL DEFAULT true;`);
}
