import type { Knex } from "knex";

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- In the format of rate-limiter-flexible: the number of wrong passwords for a key (a digest) until the end of its
    -- window, in milliseconds since 1970. Unlogged, because each sign-in writes here. A crash of Postgres resets it.
    CREATE UNLOGGED TABLE throttle (
      key varchar(255) PRIMARY KEY,
      points integer NOT NULL DEFAULT 0,
      expire bigint
    );
    CREATE INDEX throttle_expire_idx ON throttle (expire);

    -- Networks from which the user signed in recently. Guesses from other networks do not lock the account there.
    CREATE TABLE familiar_networks (
      user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
      -- An IPv4 address, or the /64 of an IPv6 address.
      network text NOT NULL,
      last_seen_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (user_id, network)
    );
    CREATE INDEX familiar_networks_last_seen_at_idx ON familiar_networks (last_seen_at);`);
}
