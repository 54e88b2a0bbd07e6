import type { Database } from "../database/database.ts";
import type { Counted, CountStore } from "./counts.ts";

/** A network where the password was used within this time is not remembered again at each sign-in. */
const rememberAgainAfter = "1 day";

export function countStore(database: Database): CountStore {
  return {
    async look({ places, accounts, familiar, now }) {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: [Counted] }>(
          `SELECT (SELECT coalesce(json_object_agg(key, json_build_object('points', points, 'pending', pending)), '{}')
                   FROM throttle WHERE key = ANY(:places::text[])) AS places,
                  (SELECT coalesce(json_object_agg(key, json_build_object('failures', failures,
                     'expiresAtMs', 1000 * extract(epoch FROM expires_at))), '{}')
                   FROM password_failures WHERE key = ANY(:accounts::text[]) AND expires_at > :now::timestamptz) AS accounts,
                  EXISTS (SELECT FROM familiar_networks WHERE key = ANY(:familiar::text[])) AS "isFamiliar",
                  EXISTS (SELECT FROM familiar_networks WHERE key = (:familiar::text[])[1]
                          AND by_password AND last_seen_at > now() - interval '${rememberAgainAfter}') AS "isRemembered"`,
          { places, accounts, familiar, now } as never,
        ),
      );
      return rows[0];
    },

    async take({ places, isPending, endsAt, account, now }) {
      // To take a place twice errs on the safe side, so that this may be repeated. Places are taken in the order of
      // their keys, and the account's last: statements that run at once wait for each other, and never in a circle.
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: [{ taken: string[]; hasAccount: boolean }] }>(
          `WITH wanted AS (
             SELECT * FROM unnest(:keys::text[], :most::integer[]) AS wanted (key, most)
           ), taken AS (
             INSERT INTO throttle (key, points, pending, expire)
             SELECT key, 1, :pending::integer, :expire::bigint FROM wanted ORDER BY key
             ON CONFLICT (key) DO UPDATE
               SET points = throttle.points + 1, pending = throttle.pending + excluded.pending
               WHERE throttle.points < (SELECT most FROM wanted WHERE wanted.key = throttle.key)
             RETURNING key
           ), failed AS (
             INSERT INTO password_failures (key, failures, expires_at)
             SELECT :account::text, 1, :failuresExpireAt::timestamptz FROM (SELECT count(*) AS count FROM taken) AS first
             WHERE count = cardinality(:keys::text[]) AND :account::text IS NOT NULL
             ON CONFLICT (key) DO UPDATE
               SET failures = CASE WHEN password_failures.expires_at > :now::timestamptz THEN password_failures.failures ELSE 0 END + 1,
                   expires_at = excluded.expires_at
               WHERE password_failures.failures < :mostFailures OR password_failures.expires_at <= :now::timestamptz
             RETURNING key
           )
           SELECT (SELECT coalesce(array_agg(key), '{}') FROM taken) AS taken,
                  EXISTS (SELECT FROM failed) AS "hasAccount",
                  -- A crash of Postgres may lose the counts of its last second: no sign-in waits for the disk.
                  set_config('synchronous_commit', 'off', true)`,
          {
            keys: places.map(({ key }) => key),
            most: places.map(({ most }) => most),
            pending: isPending ? 1 : 0,
            expire: endsAt.getTime(),
            account: account?.key ?? null,
            mostFailures: account?.most ?? 0,
            failuresExpireAt: account?.expiresAt ?? now,
            now,
          } as never,
        ),
      );
      return rows[0];
    },

    async settle({ places, accounts, outcome }) {
      await database.write((knex) =>
        knex.raw(
          `WITH locked AS (
             SELECT key FROM throttle WHERE key = ANY(:places::text[]) ORDER BY key FOR UPDATE
           ), settled AS (
             UPDATE throttle
             SET points = points - :back::integer, pending = greatest(pending - 1, 0) FROM locked WHERE throttle.key = locked.key
             RETURNING 1
           ), forgotten AS (
             DELETE FROM password_failures
             WHERE key = ANY(:accounts::text[]) AND (:isRight::boolean OR failures <= :back::integer)
               AND (SELECT count(*) FROM settled) >= 0
             RETURNING 1
           ), lowered AS (
             UPDATE password_failures SET failures = failures - :back::integer
             WHERE key = ANY(:accounts::text[]) AND NOT :isRight::boolean AND :back::integer > 0 AND failures > :back::integer
               AND (SELECT count(*) FROM settled) >= 0
             RETURNING 1
           )
           SELECT set_config('synchronous_commit', 'off', true)`,
          { places, accounts, isRight: outcome === "right", back: outcome === "wrong" ? 0 : 1 } as never,
        ),
      );
    },

    async clear(accounts) {
      const { rows } = await database.write((knex) =>
        knex.raw<{ rows: [{ cleared: boolean }] }>(
          `WITH counted AS (
             DELETE FROM throttle WHERE split_part(key, '.', 1) = ANY(:accounts::text[]) RETURNING 1
           ), failed AS (
             DELETE FROM password_failures WHERE key = ANY(:accounts::text[]) RETURNING 1
           )
           SELECT EXISTS (SELECT FROM counted) OR EXISTS (SELECT FROM failed) AS cleared`,
          { accounts } as never,
        ),
      );
      return rows[0].cleared;
    },
  };
}
