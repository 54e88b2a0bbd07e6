import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The part of the points that belongs to attempts in progress. If it reaches the limit, the client may retry soon.
    ALTER TABLE throttle ADD COLUMN pending integer NOT NULL DEFAULT 0;
    -- The existing keys are plain digests of typed names, from which a password that was typed as a name could be recovered. Rows that
    -- the previous version still writes are deleted within three hours.
    DELETE FROM throttle;

    -- Consecutive wrong passwords for an account name, whether or not there is such a user. The right password deletes the row.
    -- Unlike throttle, it is a logged table, because the count must survive a crash.
    CREATE TABLE password_failures (
      -- An HMAC of the name.
      key text PRIMARY KEY,
      failures integer NOT NULL,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX password_failures_expires_at_idx ON password_failures (expires_at);

    -- An HMAC of the account name and the network, so that a row is found without the user's id. NULL in rows of the previous version
    -- until the next sign-in.
    ALTER TABLE familiar_networks ADD COLUMN key text UNIQUE;

    -- Whether the password was used in the network, and not only a refresh token, which may be stolen. A network of a refresh token
    -- never replaces one where the password was used, and is deleted if a theft is detected.
    ALTER TABLE familiar_networks ADD COLUMN by_password boolean NOT NULL DEFAULT true;`);
}
