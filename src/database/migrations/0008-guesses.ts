import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Places that are taken and not yet decided, among the points: whether a limit is reached or only busy.
    ALTER TABLE throttle ADD COLUMN pending integer NOT NULL DEFAULT 0;
    -- The older keys are plain digests of what was typed, from which a password could be recovered. What the previous
    -- version still writes here is swept within three hours.
    DELETE FROM throttle;

    -- Wrong passwords in a row for one account name, whether or not there is such a user: until the right one, or
    -- until it expires. Logged, unlike throttle, since the count must survive a crash.
    CREATE TABLE password_failures (
      -- An HMAC of the name.
      key text PRIMARY KEY,
      failures integer NOT NULL,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX password_failures_expires_at_idx ON password_failures (expires_at);

    -- An HMAC of the account name and the network: found without looking for the user first. NULL in rows of the
    -- previous version, which get it at the next sign-in.
    ALTER TABLE familiar_networks ADD COLUMN key text UNIQUE;

    -- Whether the password was used there, and not only a refresh token, which may be stolen: such a network never
    -- replaces one that the password has proven, and is deleted when a theft is found.
    ALTER TABLE familiar_networks ADD COLUMN by_password boolean NOT NULL DEFAULT true;`);
}
