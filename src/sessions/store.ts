import type { Database } from "../database/database.ts";
import { clockMarginSeconds, type Revocation } from "../revocations/revocations.ts";
import { revoke } from "../revocations/sql.ts";
import type { Session, SessionGrant, SessionState, SessionStore } from "./state.ts";

const alive = "ended_at IS NULL AND least(idle_expires_at, expires_at) > now()";
const granted = `user_id AS "userId", username, token_epoch AS epoch,
  floor(extract(epoch FROM least(idle_expires_at, sessions.expires_at) - now()))::integer AS "refreshExpiresInSeconds"`;

/** As many rotations are kept of a session as may be repeated. */
const rotationsKept = 20;
/** The present hour. Not of the connection's time zone, which may be half an hour off. */
const hour = "date_trunc('hour', now(), 'UTC')";
const second = "floor(extract(epoch FROM now()))::bigint";
/** Ends a live session of a user, and revokes its tokens. */
const ending = `WITH ended AS (
    UPDATE sessions SET ended_at = now() FROM users
    WHERE sessions.id = :id AND user_id = :userId AND ${alive}
      AND users.id = user_id AND token_epoch = user_epoch
    RETURNING sessions.id, tokens_expire_at
  )
  ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}`;

type Result<T> = { rows: T[] };

export function sessionStore(database: Database): SessionStore {
  /** Runs a change of at most one row. */
  const one = async <T>(sql: string, values: Record<string, unknown>): Promise<T | undefined> => {
    const { rows } = await database.write((knex) => knex.raw<Result<T>>(sql, values as never));
    return rows[0];
  };
  const tokensLiveFor = (tokenSeconds: number) => tokenSeconds + clockMarginSeconds;

  return {
    async insert({ id, userId, epoch, seed, digest, address, userAgent }, times, tokenSeconds) {
      const inserted = await database.write((knex) =>
        knex.transaction(async (transaction) => {
          // Sign-ins of a user take turns, and wait for a deletion or an ending of all sessions that is under way. The
          // second statement has a snapshot of its own, and sees what it has waited for.
          const { rows: users } = await transaction.raw<Result<{ epoch: number }>>(
            `SELECT token_epoch AS epoch FROM users WHERE id = :userId AND password_epoch <= :epoch
             FOR NO KEY UPDATE`,
            { userId, epoch },
          );
          if (!users[0]) return undefined;
          return transaction.raw<
            Result<SessionGrant & { ended: (Omit<Revocation, "expiresAt"> & { expiresAt: string })[] }>
          >(
            `WITH ended AS (
               UPDATE sessions SET ended_at = now()
               WHERE ${alive} AND id = ANY(ARRAY(
                 SELECT id FROM sessions WHERE user_id = :userId AND user_epoch = :epoch AND ${alive}
                 ORDER BY id DESC OFFSET :others))
               RETURNING id, tokens_expire_at
             ), revoked AS (
               ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}
             ), sessions AS (
               INSERT INTO sessions (id, user_id, user_epoch, seed, refresh_digest, idle_expires_at, expires_at,
                                     listed_used_at, listed_idle_expires_at, tokens_expire_at, user_agent, address)
               SELECT :id, id, token_epoch, :seed, :digest, now() + make_interval(secs => :idle),
                      now() + make_interval(secs => :lifetime), now(), now() + make_interval(secs => :idle),
                      now() + make_interval(secs => :tokens), :userAgent, :address
               FROM users WHERE id = :userId
               RETURNING *
             )
             SELECT ${granted}, (SELECT coalesce(json_agg(revoked), '[]') FROM revoked) AS ended
             FROM sessions JOIN users ON users.id = user_id`,
            {
              id,
              userId,
              epoch: users[0].epoch,
              seed,
              digest,
              others: times.sessionsPerUser - 1,
              idle: times.idleSeconds,
              lifetime: times.lifetimeSeconds,
              tokens: tokensLiveFor(tokenSeconds),
              userAgent: userAgent ?? null,
              address: address ?? null,
            } as never,
          );
        }),
      );
      const row = inserted?.rows[0];
      if (!row) return undefined;
      const { ended, ...grant } = row;
      return { grant, ended: ended.map((entry) => ({ ...entry, expiresAt: new Date(entry.expiresAt) })) };
    },

    rotate: ({ id, generation, digest, nextDigest, address, network }, times, tokenSeconds) =>
      one<SessionGrant>(
        `UPDATE sessions
         SET generation = generation + 1, refresh_digest = :nextDigest, last_used_at = now(), address = :address,
             recent_rotations = (ARRAY[now()] || recent_rotations)[1:${rotationsKept}],
             rotations = (ARRAY[concat_ws(' ', generation + 1, ${second}, pg_current_xact_id(), :network::text)]
                          || rotations)[1:${rotationsKept}],
             listed_used_at = CASE WHEN last_used_at < ${hour} THEN last_used_at ELSE listed_used_at END,
             listed_idle_expires_at =
               CASE WHEN last_used_at < ${hour} THEN idle_expires_at ELSE listed_idle_expires_at END,
             idle_expires_at = now() + make_interval(secs => :idle),
             tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
         FROM users
         WHERE sessions.id = :id AND generation = :generation AND refresh_digest = :digest AND ${alive}
           AND users.id = user_id AND token_epoch = user_epoch
         RETURNING ${granted}`,
        {
          id,
          generation,
          digest,
          nextDigest,
          network,
          address: address ?? null,
          idle: times.idleSeconds,
          tokens: tokensLiveFor(tokenSeconds),
        },
      ),

    async catchUp({ id, generation, digest }, to) {
      // What was lost is dated now: the answers to the lost rotations may be lost, too.
      const caughtUp = await one<{ id: string }>(
        `UPDATE sessions
         SET generation = :to, refresh_digest = :toDigest,
             recent_rotations = (array_fill(now(), ARRAY[:steps::integer]) || recent_rotations)[1:${rotationsKept}],
             rotations = (ARRAY(
               SELECT concat_ws(' ', lost, ${second}, pg_current_xact_id(), :network::text)
               FROM generate_series(:to::integer, :to::integer - :steps::integer + 1, -1) AS lost
             ) || rotations)[1:${rotationsKept}]
         FROM users
         WHERE sessions.id = :id AND generation = :generation AND refresh_digest = :digest AND ${alive}
           AND users.id = user_id AND token_epoch = user_epoch
         RETURNING sessions.id`,
        {
          id,
          generation,
          digest,
          to: to.generation,
          toDigest: to.digest,
          network: to.network,
          steps: Math.min(to.generation - generation, rotationsKept),
        },
      );
      return caughtUp !== undefined;
    },

    extend: ({ id, generation }, tokenSeconds) =>
      one<SessionGrant>(
        `UPDATE sessions
         SET tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
         FROM users
         WHERE sessions.id = :id AND generation = :generation AND ${alive}
           AND users.id = user_id AND token_epoch = user_epoch
         RETURNING ${granted}`,
        { id, generation, tokens: tokensLiveFor(tokenSeconds) },
      ),

    async find(id, generation) {
      const { rows } = await database.read((knex) =>
        knex.raw<Result<Omit<SessionState, "rotation"> & { usedAtSecond: string | null; rotation: string | null }>>(
          `SELECT user_id AS "userId", seed, generation, refresh_digest AS digest, address,
                  ended_at IS NOT NULL OR token_epoch <> user_epoch AS "isEnded",
                  least(idle_expires_at, expires_at) <= now() AS "isExpired",
                  extract(epoch FROM now() - recent_rotations[generation - :presented::integer])::float8
                    AS "secondsSinceUse",
                  floor(extract(epoch FROM recent_rotations[generation - :presented::integer]))::bigint AS "usedAtSecond",
                  CASE WHEN generation > :presented::integer THEN
                    (SELECT entry FROM unnest(rotations) AS entry
                     WHERE split_part(entry, ' ', 1)::integer = :presented::integer + 1) END AS rotation
           FROM sessions JOIN users ON users.id = user_id
           WHERE sessions.id = :id`,
          { id, presented: generation },
        ),
      );
      const [row] = rows;
      if (!row) return undefined;
      const { usedAtSecond, rotation, ...state } = row;
      const [, second, xid = "", network = ""] = rotation?.split(" ") ?? [];
      // Where recent_rotations has another time, that is not of this transaction.
      return { ...state, rotation: rotation === null ? null : { xid: second === usedAtSecond ? xid : null, network } };
    },

    async list(userId, limit, cursor) {
      const { rows } = await database.read((knex) =>
        knex.raw<Result<Session>>(
          `SELECT sessions.id, sessions.created_at AS "createdAt", user_agent AS "userAgent", address,
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
             AND (:cursor::uuid IS NULL OR sessions.id < :cursor::uuid)
           ORDER BY sessions.id DESC LIMIT :limit`,
          { userId, limit, cursor: cursor ?? null },
        ),
      );
      return rows;
    },

    end: (userId, id) => one<Revocation>(ending, { id, userId }),

    endStolen: (userId, id) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          // The user first, as a deletion has it.
          await transaction.raw("SELECT FROM users WHERE id = ? FOR KEY SHARE", [userId]);
          const { rows } = await transaction.raw<Result<Revocation>>(ending, { id, userId });
          // A statement of its own: it sees what a refresh has added while the session's end waited for it.
          await transaction.raw("DELETE FROM familiar_networks WHERE user_id = ? AND NOT by_password", [userId]);
          return rows[0];
        }),
      ),
  };
}
