import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { clientId, network, sessionId, userId, username } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { arrayOf, boolean, bytea, double, integer, nullable, text, timestamptz, uuid } from "../database/sqlTypes.ts";
import { clockMarginSeconds } from "../revocations/revocations.ts";
import { revocationsColumn, revoke, selectedRevocations, toRevocations } from "../revocations/revoke.ts";
import { endings, ofUser, sessionDetails } from "./ending/store.ts";
import type { SessionState, SessionStore } from "./storeTypes.ts";

/** The number of rotations that are stored per session. Only the tokens of stored rotations can be repeated. */
const rotationsKept = 20;
/** The beginning of the current hour in UTC. In other time zones, hours may begin at other times. */
const hour = "date_trunc('hour', now(), 'UTC')";
const second = "floor(extract(epoch FROM now()))::bigint";
/** A live session that has a refresh token. */
const refreshable = `NOT is_browser AND ${ofUser}`;

const selectedGrant = `user_id AS "userId", username, token_epoch AS epoch,
  coalesce(sessions.authenticated_at, sessions.created_at) AS "authenticatedAt",
  floor(extract(epoch FROM least(idle_expires_at, sessions.expires_at) - now()))::integer AS "refreshExpiresInSeconds"`;
const grantColumns = {
  userId,
  username,
  epoch: integer,
  authenticatedAt: timestamptz,
  refreshExpiresInSeconds: integer,
};
const limitColumns = { audience: nullable(text), scopes: nullable(arrayOf(text)) };

const tooManyDetails = "jsonb_build_object('session_id', ended.id, 'reason', 'too-many')";

/**
 * Creates a session and ends the oldest ones beyond the limit. It locks the user, so that concurrent sign-ins of the same user
 * wait for each other, and for a deletion or the end of all sessions. end_oldest_sessions() sees what was committed meanwhile.
 */
const createSession = statement({
  name: "create-session",
  sql: `WITH owner AS MATERIALIZED (
      SELECT id, username, token_epoch FROM users WHERE id = :userId AND password_epoch <= :epoch FOR NO KEY UPDATE
    ), ended AS MATERIALIZED (
      SELECT oldest.* FROM owner, end_oldest_sessions(owner.id, owner.token_epoch, :kept) AS oldest
    ), revoked AS (
      ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}
    ), sessions AS (
      INSERT INTO sessions (id, user_id, user_epoch, seed, refresh_digest, idle_expires_at, expires_at,
                            listed_used_at, listed_idle_expires_at, tokens_expire_at, user_agent, address, audience, scopes,
                            is_browser, authenticated_at)
      SELECT :id, id, token_epoch, :seed, :digest, now() + make_interval(secs => :idle),
             now() + make_interval(secs => :lifetime), now(), now() + make_interval(secs => :idle),
             now() + make_interval(secs => :tokens), :userAgent, :address, :audience, :scopes, :isBrowser, now()
      FROM owner WHERE (SELECT count(*) FROM ended) >= 0
      RETURNING *
    ), audited AS (
      ${recordEvent({ event: "session-created", from: "sessions", subject: "user_id", details: sessionDetails("sessions.id") })}
    ), audited_ended AS (
      ${recordEvent({ event: "session-ended", from: "ended", subject: ":userId", details: tooManyDetails })}
    )
    SELECT ${selectedGrant}, ${selectedRevocations} AS ended
    FROM sessions JOIN owner ON owner.id = user_id`,
  parameters: {
    userId,
    epoch: integer,
    kept: integer,
    id: sessionId,
    seed: bytea,
    digest: bytea,
    idle: integer,
    lifetime: integer,
    tokens: integer,
    userAgent: nullable(text),
    address: nullable(text),
    ...limitColumns,
    isBrowser: boolean,
    audit: auditParameter,
  },
  columns: {
    ...grantColumns,
    ended: revocationsColumn,
  },
});

/** A refresh with the expected token. The parameters are declared in the order in which the SQL uses them. */
export const rotateSession = statement({
  name: "rotate-session",
  sql: `UPDATE sessions
    SET generation = generation + 1, refresh_digest = :nextDigest, last_used_at = now(), address = :address,
        recent_rotations = (ARRAY[now()] || recent_rotations)[1:${rotationsKept}],
        rotations = (ARRAY[concat_ws(' ', generation + 1, ${second}, pg_current_xact_id(), :network)]
                     || rotations)[1:${rotationsKept}],
        listed_used_at = CASE WHEN last_used_at < ${hour} THEN last_used_at ELSE listed_used_at END,
        listed_idle_expires_at = CASE WHEN last_used_at < ${hour} THEN idle_expires_at ELSE listed_idle_expires_at END,
        idle_expires_at = now() + make_interval(secs => :idle),
        tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
    FROM users, (SELECT id AS previous_id, address AS previous_address FROM sessions) AS previous
    WHERE sessions.id = :id AND previous_id = :id AND generation = :generation AND refresh_digest = :digest
      AND ${refreshable}
    RETURNING ${selectedGrant}, previous_address AS "previousAddress"`,
  parameters: {
    nextDigest: bytea,
    address: nullable(text),
    network,
    idle: integer,
    tokens: integer,
    id: sessionId,
    generation: integer,
    digest: bytea,
  },
  columns: { ...grantColumns, previousAddress: nullable(text) },
});

/** The lost rotations get the current time, so that their tokens have a grace period: the responses may be lost as well. */
const catchUpSession = statement({
  name: "catch-up-session",
  sql: `UPDATE sessions
    SET generation = :to, refresh_digest = :toDigest,
        recent_rotations = (array_fill(now(), ARRAY[:steps]) || recent_rotations)[1:${rotationsKept}],
        rotations = (ARRAY(
          SELECT concat_ws(' ', lost, ${second}, pg_current_xact_id(), :network)
          FROM generate_series(:to, :to - :steps + 1, -1) AS lost
        ) || rotations)[1:${rotationsKept}]
    FROM users
    WHERE sessions.id = :id AND generation = :generation AND refresh_digest = :digest AND ${refreshable}`,
  parameters: {
    to: integer,
    toDigest: bytea,
    steps: integer,
    network,
    id: sessionId,
    generation: integer,
    digest: bytea,
  },
});

const extendSession = statement({
  name: "extend-session",
  sql: `UPDATE sessions
    SET tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
    FROM users
    WHERE sessions.id = :id AND generation = :generation AND ${refreshable}
    RETURNING ${selectedGrant}`,
  parameters: { tokens: integer, id: sessionId, generation: integer },
  columns: grantColumns,
});

/** Always returns one row, which names the server. Without a session, its other columns are NULL. */
const findSession = statement({
  name: "find-session",
  sql: `SELECT pg_postmaster_start_time()::text AS server, found.* FROM (VALUES (true)) AS always LEFT JOIN (
    SELECT user_id AS "userId", username, client_id AS "clientId", dpop_jkt AS "refreshKey", seed, generation,
           refresh_digest AS digest, address, audience, scopes, ended_at IS NOT NULL OR token_epoch <> user_epoch AS "isEnded",
           least(idle_expires_at, expires_at) AS "expiresAt", least(idle_expires_at, expires_at) <= now() AS "isExpired",
           extract(epoch FROM now() - recent_rotations[generation - :presented])::float8 AS "secondsSinceUse",
           floor(extract(epoch FROM recent_rotations[generation - :presented]))::bigint::text AS "usedAtSecond",
           CASE WHEN generation > :presented THEN
             (SELECT entry FROM unnest(rotations) AS entry
              WHERE split_part(entry, ' ', 1)::integer = :presented + 1) END AS rotation
    FROM sessions JOIN users ON users.id = user_id
    WHERE sessions.id = :id AND NOT is_browser) AS found ON true`,
  parameters: { presented: integer, id: sessionId },
  columns: {
    server: text,
    userId: nullable(userId),
    username: nullable(username),
    clientId: nullable(clientId),
    refreshKey: nullable(text),
    seed: nullable(bytea),
    generation: nullable(integer),
    digest: nullable(bytea),
    address: nullable(text),
    ...limitColumns,
    isEnded: nullable(boolean),
    expiresAt: nullable(timestamptz),
    isExpired: nullable(boolean),
    secondsSinceUse: nullable(double),
    usedAtSecond: nullable(text),
    rotation: nullable(text),
  },
});

const listSessions = statement({
  name: "list-sessions",
  sql: `SELECT sessions.id, sessions.created_at AS "createdAt", user_agent AS "userAgent", address, audience, scopes,
           client_id AS "clientId",
           greatest(date_trunc('hour', listed.used_at, 'UTC'), sessions.created_at) AS "lastUsedAt",
           least(date_trunc('hour', listed.idle_expires_at, 'UTC') + interval '1 hour', expires_at) AS "expiresAt"
    FROM sessions JOIN users ON users.id = user_id
    CROSS JOIN LATERAL (
      SELECT
        CASE WHEN last_used_at < ${hour} THEN last_used_at ELSE listed_used_at END AS used_at,
        CASE WHEN last_used_at < ${hour} THEN sessions.idle_expires_at
             ELSE coalesce(listed_idle_expires_at, sessions.idle_expires_at) END AS idle_expires_at
    ) AS listed
    WHERE user_id = :userId AND token_epoch = user_epoch
      AND ended_at IS NULL AND least(sessions.idle_expires_at, expires_at) > now()
      AND (:cursor IS NULL OR sessions.id < :cursor)
    ORDER BY sessions.id DESC LIMIT :limit`,
  parameters: { userId, cursor: nullable(uuid), limit: integer },
  columns: {
    id: sessionId,
    createdAt: timestamptz,
    userAgent: nullable(text),
    address: nullable(text),
    ...limitColumns,
    clientId: nullable(clientId),
    lastUsedAt: timestamptz,
    expiresAt: timestamptz,
  },
});

function toState({ server: _, usedAtSecond, rotation, ...found }: RowOf<typeof findSession>): SessionState | undefined {
  if (found.userId === null) return undefined; // then the others are null, too
  const [, second, xid = "", network = ""] = rotation?.split(" ") ?? [];
  // If recent_rotations has another time, an earlier version made that rotation in another transaction.
  const used = rotation === null ? null : { xid: second === usedAtSecond ? xid : null, network };
  return { ...(found as Omit<SessionState, "rotation">), rotation: used };
}

/** The time until instances with a slow clock consider a token expired, too. */
const tokensLiveFor = (tokenSeconds: number) => tokenSeconds + clockMarginSeconds;

export function sessionStore(database: Database): SessionStore {
  return {
    async insert({ address, userAgent, ...session }, times, tokenSeconds) {
      const values = {
        ...session,
        isBrowser: session.isBrowser ?? false,
        kept: times.sessionsPerUser - 1,
        idle: times.idleSeconds,
        lifetime: times.lifetimeSeconds,
        tokens: tokensLiveFor(tokenSeconds),
        userAgent: userAgent ?? null,
        address: address ?? null,
        audit: auditContext(),
      };
      const row = await database.write((knex) => createSession.first(knex, values));
      if (!row) return undefined;
      const { ended, ...grant } = row;
      return { grant, ended: toRevocations(ended) };
    },

    rotate({ address, ...from }, { idleSeconds }, tokenSeconds) {
      const tokens = tokensLiveFor(tokenSeconds);
      const values = { ...from, address: address ?? null, idle: idleSeconds, tokens };
      return database.write((knex) => rotateSession.first(knex, values));
    },

    async catchUp(from, to) {
      const steps = Math.min(to.generation - from.generation, rotationsKept);
      const values = { ...from, to: to.generation, toDigest: to.digest, network: to.network, steps };
      return (await database.write((knex) => catchUpSession.count(knex, values))) > 0;
    },

    extend: (at, tokenSeconds) =>
      database.write((knex) => extendSession.first(knex, { ...at, tokens: tokensLiveFor(tokenSeconds) })),

    async find(id, generation) {
      const row = await database.read((knex) => findSession.one(knex, { id, presented: generation }));
      return { state: toState(row), server: row.server };
    },

    list: (userId, limit, cursor) =>
      database.read((knex) => listSessions.rows(knex, { userId, limit, cursor: cursor ?? null })),

    ...endings(database),
  };
}
