/**
 * The statements of a sign-in, which count attempts. A sign-in runs two: `beginSignIn`, then `releaseAttempt` or
 * `completeSignIn`. A right password from a network that must be remembered runs a third, `rememberNetwork`. It is separate
 * because its commit waits for the disk: the counters must not stay locked meanwhile, and its failure must not fail the sign-in.
 *
 * To avoid deadlocks, every statement locks rows in the same order: the user, the counters by key, the account's failure count,
 * the account's known networks.
 *
 * A commit that only changes counts does not wait for the disk, so a crash of Postgres may lose the last second of counts.
 */

import { network, userId, username } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, bigint, boolean, double, integer, json, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import { maxKnownNetworks } from "./limits.ts";
import type { AttemptStore, Count } from "./storeTypes.ts";

/** A network where the password was used within this time is not written again. */
const rememberAgainAfter = "1 day";
/** The commit of the current transaction does not wait for the disk. */
const commitLater = "set_config('synchronous_commit', 'off', true)";

/**
 * Only an admitted attempt calls find_sign_in_account(), so that a rejected attempt does the same work whether or not the user exists.
 *
 * The WHERE clauses of the two upserts decide, not the counts that the statement read before. So the limits also hold for
 * concurrent attempts.
 */
const beginSignIn = statement({
  name: "begin-sign-in",
  sql: `
  WITH known AS MATERIALIZED (
    SELECT count(*) > 0 AS is_known,
           coalesce(bool_or(key = (:networkKeys)[1] AND by_password
             AND last_seen_at > now() - interval '${rememberAgainAfter}'), false) AS is_recent
    FROM familiar_networks WHERE key = ANY(:networkKeys)
  ), previous AS MATERIALIZED (
    SELECT coalesce(sum(failures), 0)::integer AS failures,
           coalesce(sum(failures) FILTER (WHERE key <> (:failureKeys)[1]), 0)::integer AS under_previous_keys,
           max(expires_at) AS expires_at
    FROM password_failures WHERE key = ANY(:failureKeys) AND expires_at > :now
  ), allowed AS MATERIALIZED (
    SELECT CASE WHEN is_known THEN :maxFailuresIfKnown ELSE :maxFailuresIfUnknown END AS failures
    FROM known
  ), counters AS MATERIALIZED (
    SELECT wanted.key, wanted.max, coalesce(points, 0) AS points, coalesce(pending, 0) AS pending
    FROM known CROSS JOIN LATERAL (
      SELECT key, CASE WHEN is_known THEN if_known ELSE if_unknown END AS max
      FROM unnest(:keys, :limitsIfKnown, :limitsIfUnknown) AS counter (key, if_known, if_unknown)
    ) AS wanted LEFT JOIN throttle ON throttle.key = wanted.key
    WHERE wanted.max > 0
  ), decision AS MATERIALIZED (
    SELECT previous.failures < allowed.failures AND (SELECT bool_and(points < max) FROM counters) AS is_below_limits
    FROM previous, allowed
  ), reserved AS (
    INSERT INTO throttle (key, points, pending, expire)
    SELECT key, 1, 1, :expire FROM counters WHERE (SELECT is_below_limits FROM decision) ORDER BY key
    ON CONFLICT (key) DO UPDATE SET points = throttle.points + 1, pending = throttle.pending + 1
      WHERE throttle.points < (SELECT max FROM counters WHERE counters.key = throttle.key)
    RETURNING key
  ), admitted AS (
    INSERT INTO password_failures (key, failures, expires_at)
    SELECT (:failureKeys)[1], 1, :failuresExpireAt FROM decision
    WHERE is_below_limits AND (SELECT count(*) FROM reserved) = (SELECT count(*) FROM counters)
    ON CONFLICT (key) DO UPDATE
      SET failures = 1 + CASE WHEN password_failures.expires_at > :now THEN password_failures.failures ELSE 0 END,
          expires_at = excluded.expires_at
      WHERE password_failures.expires_at <= :now OR password_failures.failures <
        (SELECT allowed.failures - previous.under_previous_keys FROM allowed, previous)
    RETURNING key
  ), account AS MATERIALIZED (
    SELECT * FROM find_sign_in_account(:username, :id) WHERE EXISTS (SELECT FROM admitted)
  )
  SELECT is_known AS "isKnownNetwork", is_recent AS "isRecentlyUsedNetwork", is_below_limits AS "isBelowLimits",
         ARRAY(SELECT key::text FROM reserved) AS reserved, EXISTS (SELECT FROM admitted) AS "isAdmitted",
         account.id, username, password_hash AS "passwordHash", token_epoch AS "tokenEpoch",
         CASE WHEN NOT is_below_limits THEN
           (SELECT json_object_agg(key, json_build_object('points', points, 'inProgress', pending)) FROM counters)
         END AS counts,
         failures, 1000 * extract(epoch FROM expires_at)::float8 AS "failuresExpireAtMs",
         pg_postmaster_start_time()::text AS server, ${commitLater} AS commit
  FROM known CROSS JOIN previous CROSS JOIN decision LEFT JOIN account ON true`,
  parameters: {
    networkKeys: arrayOf(text),
    failureKeys: arrayOf(text),
    now: timestamptz,
    maxFailuresIfKnown: integer,
    maxFailuresIfUnknown: integer,
    keys: arrayOf(text),
    limitsIfKnown: arrayOf(integer),
    limitsIfUnknown: arrayOf(integer),
    expire: bigint,
    failuresExpireAt: timestamptz,
    username: nullable(username),
    id: nullable(userId),
  },
  columns: {
    isKnownNetwork: boolean,
    isRecentlyUsedNetwork: boolean,
    isBelowLimits: boolean,
    reserved: arrayOf(text),
    isAdmitted: boolean,
    id: nullable(userId),
    username: nullable(username),
    passwordHash: nullable(text),
    tokenEpoch: nullable(integer),
    counts: nullable(json<Record<string, Count>>()),
    failures: integer,
    failuresExpireAtMs: nullable(double),
    server: text,
    commit: text,
  },
});

const releaseAttempt = statement({
  name: "release-attempt",
  sql: `
  WITH locked AS (
    SELECT key FROM throttle WHERE key = ANY(:counters) ORDER BY key FOR UPDATE
  ), released AS (
    UPDATE throttle SET points = points - :returned, pending = greatest(pending - 1, 0)
    FROM locked WHERE throttle.key = locked.key
    RETURNING 1
  ), deleted AS (
    DELETE FROM password_failures
    WHERE key = ANY(:failureKeys) AND failures <= :returned AND (SELECT count(*) FROM released) >= 0
    RETURNING 1
  ), lowered AS (
    UPDATE password_failures SET failures = failures - :returned
    WHERE key = ANY(:failureKeys) AND :returned > 0 AND failures > :returned
      AND (SELECT count(*) FROM released) >= 0
    RETURNING 1
  )
  SELECT ${commitLater} AS commit`,
  parameters: { counters: arrayOf(text), returned: integer, failureKeys: arrayOf(text) },
  columns: { commit: text },
});

const completeSignIn = statement({
  name: "complete-sign-in",
  sql: `
  WITH locked AS (
    SELECT key FROM throttle WHERE key = ANY(:counters) ORDER BY key FOR UPDATE
  ), released AS (
    UPDATE throttle SET points = points - 1, pending = greatest(pending - 1, 0)
    FROM locked WHERE throttle.key = locked.key
    RETURNING 1
  ), reset AS (
    DELETE FROM password_failures
    WHERE key = ANY(:failureKeys) AND (SELECT count(*) FROM released) >= 0
    RETURNING 1
  )
  SELECT (SELECT token_epoch FROM users WHERE id = :userId AND password_epoch <= :epoch) AS epoch,
         ${commitLater} AS commit`,
  parameters: { userId, counters: arrayOf(text), failureKeys: arrayOf(text), epoch: integer },
  columns: { epoch: nullable(integer), commit: text },
});

/**
 * Remembers the network of a right password, unless the password was replaced.
 *
 * FOR SHARE: unlike FOR KEY SHARE, it conflicts with a password change. So either the change commits first, and the password
 * epoch is checked again, or the change waits and deletes this network. SKIP LOCKED: it does not wait for a deletion of the user.
 * If the user is locked, the next sign-in remembers the network.
 */
const rememberNetwork = statement({
  name: "remember-password-network",
  sql: `
  WITH owner AS MATERIALIZED (
    SELECT id FROM users WHERE id = :userId AND password_epoch <= :epoch FOR SHARE SKIP LOCKED
  ), remembered AS (
    INSERT INTO familiar_networks (user_id, network, key, by_password)
    SELECT id, :network, :key, true FROM owner
    ON CONFLICT (user_id, network) DO UPDATE SET last_seen_at = now(), key = excluded.key, by_password = true
    RETURNING user_id
  )
  DELETE FROM familiar_networks AS known USING remembered
  WHERE known.user_id = remembered.user_id AND network IN (
    SELECT network FROM familiar_networks WHERE user_id = :userId AND network <> :network
    ORDER BY by_password DESC, last_seen_at DESC OFFSET ${maxKnownNetworks - 1})`,
  parameters: { userId, epoch: integer, network, key: text },
});

const reserveRegistration = statement({
  name: "reserve-registration",
  sql: `
  WITH counters AS MATERIALIZED (
    SELECT * FROM unnest(:keys, :limits) AS counter (key, max)
  ), reserved AS (
    INSERT INTO throttle (key, points, pending, expire) SELECT key, 1, 0, :expire FROM counters ORDER BY key
    ON CONFLICT (key) DO UPDATE SET points = throttle.points + 1
      WHERE throttle.points < (SELECT max FROM counters WHERE counters.key = throttle.key)
    RETURNING key
  )
  SELECT ARRAY(SELECT key::text FROM reserved) AS reserved, ${commitLater} AS commit`,
  parameters: { keys: arrayOf(text), limits: arrayOf(integer), expire: bigint },
  columns: { reserved: arrayOf(text), commit: text },
});

const clearFailures = statement({
  name: "clear-failures",
  sql: `
  WITH locked AS (
    SELECT key FROM throttle WHERE split_part(key, '.', 1) = ANY(:failureKeys) ORDER BY key FOR UPDATE
  ), counted AS (
    DELETE FROM throttle USING locked WHERE throttle.key = locked.key RETURNING 1
  ), failed AS (
    DELETE FROM password_failures
    WHERE key = ANY(:failureKeys) AND (SELECT count(*) FROM counted) >= 0
    RETURNING 1
  )
  SELECT EXISTS (SELECT FROM counted) OR EXISTS (SELECT FROM failed) AS cleared`,
  parameters: { failureKeys: arrayOf(text) },
  columns: { cleared: boolean },
});

export function attemptStore(database: Database): AttemptStore {
  return {
    async begin({ reference, counters, countersEndAt, failureKeys, networkKeys, ...attempt }) {
      const values = {
        ...attempt,
        failureKeys,
        networkKeys,
        username: "username" in reference ? reference.username : null,
        id: "id" in reference ? reference.id : null,
        keys: counters.map(({ key }) => key),
        limitsIfKnown: counters.map(({ limitIfKnown }) => limitIfKnown),
        limitsIfUnknown: counters.map(({ limitIfUnknown }) => limitIfUnknown),
        expire: String(countersEndAt.getTime()),
      };
      // A read, because it may be repeated: an attempt that is counted twice is limited sooner.
      const begun = await database.read((knex) => beginSignIn.one(knex, values));
      const { id, username, passwordHash, tokenEpoch } = begun;
      const isFound = id !== null && username !== null && passwordHash !== null && tokenEpoch !== null;
      return {
        ...begun,
        account: isFound ? { id, username, passwordHash, tokenEpoch } : undefined,
        blockedId: passwordHash === null ? (id ?? undefined) : undefined,
        counts: begun.counts ?? {},
        failuresExpireAtMs: begun.failuresExpireAtMs ?? 0,
      };
    },

    async release({ counters, failureKeys, outcome }) {
      const returned = outcome === "wrong" ? 0 : 1;
      await database.write((knex) => releaseAttempt.one(knex, { counters, failureKeys, returned }));
    },

    async succeed(success) {
      return (await database.write((knex) => completeSignIn.one(knex, success))).epoch ?? undefined;
    },

    async rememberNetwork(signIn) {
      await database.write((knex) => rememberNetwork.count(knex, signIn));
    },

    async reserve(counters, endAt) {
      const keys = counters.map(({ key }) => key);
      const limits = counters.map(({ limit }) => limit);
      const expire = String(endAt.getTime());
      return (await database.read((knex) => reserveRegistration.one(knex, { keys, limits, expire }))).reserved;
    },

    clear: async (failureKeys) => (await database.write((knex) => clearFailures.one(knex, { failureKeys }))).cleared,
  };
}
