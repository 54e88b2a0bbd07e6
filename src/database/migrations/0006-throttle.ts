import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Of rate-limiter-flexible, in its own form: how many wrong passwords there were for a key (a digest)
    -- until the end of its window, in milliseconds since 1970. Unlogged, since each sign-in writes here:
    -- after a crash of Postgres the counting begins anew.
    CREATE UNLOGGED TABLE throttle (
      key varchar(255) PRIMARY KEY,
      points integer NOT NULL DEFAULT 0,
      expire bigint
    );
    CREATE INDEX throttle_expire_idx ON throttle (expire);

    -- Where an account has signed in from of late: from there others' guesses do not lock it out.
    CREATE TABLE familiar_networks (
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- An IPv4 address, or the /64 of an IPv6 address.
      network text NOT NULL,
      last_seen_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (user_id, network)
    );
    CREATE INDEX familiar_networks_last_seen_at_idx ON familiar_networks (last_seen_at);`);
}
