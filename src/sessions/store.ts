import type { Database } from "../database/database.ts";
import { clockSlackSeconds, everyEpoch, type Revocation } from "../tokens/revocations.ts";
import type { Session, SessionState, SessionStore, SessionTimes, Standing } from "./sessions.ts";

const alive = "ended_at IS NULL AND least(idle_expires_at, expires_at) > now()";
const standing = `user_id AS "userId", username, token_epoch AS epoch,
  floor(extract(epoch FROM least(idle_expires_at, sessions.expires_at) - now()))::integer AS "refreshExpiresInSeconds"`;

export function sessionStore(database: Database): SessionStore {
  /** Runs a change of at most one row. */
  const one = async <T>(sql: string, values: Record<string, unknown>): Promise<T | undefined> => {
    const { rows } = await database.write((knex) => knex.raw<{ rows: T[] }>(sql, values as never));
    return rows[0];
  };
  const seconds = ({ idleSeconds, lifetimeSeconds }: SessionTimes, tokenSeconds: number) => ({
    idle: idleSeconds,
    lifetime: lifetimeSeconds,
    tokens: tokenSeconds + clockSlackSeconds,
  });

  return {
    insert: ({ id, userId, epoch, seed, digest, client }, times, tokenSeconds) =>
      one<Standing>(
        `WITH sessions AS (
           INSERT INTO sessions (id, user_id, user_epoch, seed, refresh_digest, idle_expires_at, expires_at,
                                 tokens_expire_at, user_agent, address)
           SELECT :id, id, token_epoch, :seed, :digest, now() + make_interval(secs => :idle),
                  now() + make_interval(secs => :lifetime), now() + make_interval(secs => :tokens), :userAgent, :address
           FROM users WHERE id = :userId AND token_epoch = :epoch
           FOR KEY SHARE -- a deletion under way is waited for
           RETURNING *
         )
         SELECT ${standing} FROM sessions JOIN users ON users.id = user_id`,
        {
          id,
          userId,
          epoch,
          seed,
          digest,
          ...seconds(times, tokenSeconds),
          userAgent: client.userAgent?.slice(0, 256) ?? null,
          address: client.address ?? null,
        },
      ),

    rotate: ({ id, generation, digest }, nextDigest, times, tokenSeconds) =>
      one<Standing>(
        `UPDATE sessions
         SET generation = generation + 1, refresh_digest = :nextDigest, last_used_at = now(),
             recent_rotations = (ARRAY[now()] || recent_rotations)[1:20],
             idle_expires_at = now() + make_interval(secs => :idle),
             tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
         FROM users
         WHERE sessions.id = :id AND generation = :generation AND refresh_digest = :digest AND ${alive}
           AND users.id = user_id AND token_epoch = user_epoch
         RETURNING ${standing}`,
        { id, generation, digest, nextDigest, idle: times.idleSeconds, tokens: tokenSeconds + clockSlackSeconds },
      ),

    extend: ({ id, generation }, tokenSeconds) =>
      one<Standing>(
        `UPDATE sessions
         SET tokens_expire_at = greatest(tokens_expire_at, now() + make_interval(secs => :tokens))
         FROM users
         WHERE sessions.id = :id AND generation = :generation AND ${alive}
           AND users.id = user_id AND token_epoch = user_epoch
         RETURNING ${standing}`,
        { id, generation, tokens: tokenSeconds + clockSlackSeconds },
      ),

    async find(id, graceSeconds) {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: SessionState[] }>(
          `SELECT user_id AS "userId", seed, generation, refresh_digest AS digest,
                  ended_at IS NOT NULL OR token_epoch <> user_epoch AS "isEnded",
                  least(idle_expires_at, expires_at) <= now() AS "isExpired",
                  (SELECT count(*)::integer FROM unnest(recent_rotations) AS rotated_at
                   WHERE rotated_at > now() - make_interval(secs => :graceSeconds)) AS "generationsInGrace"
           FROM sessions JOIN users ON users.id = user_id
           WHERE sessions.id = :id`,
          { id, graceSeconds },
        ),
      );
      return rows[0];
    },

    async list(userId, limit, cursor) {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: Session[] }>(
          `SELECT sessions.id, sessions.created_at AS "createdAt", last_used_at AS "lastUsedAt",
                  least(idle_expires_at, expires_at) AS "expiresAt", user_agent AS "userAgent", address
           FROM sessions JOIN users ON users.id = user_id
           WHERE user_id = :userId AND token_epoch = user_epoch AND ${alive}
             AND (:cursor::uuid IS NULL OR sessions.id < :cursor::uuid)
           ORDER BY sessions.id DESC LIMIT :limit`,
          { userId, limit, cursor: cursor ?? null },
        ),
      );
      return rows;
    },

    end: (userId, id) =>
      one<Revocation>(
        `WITH ended AS (
           UPDATE sessions SET ended_at = now() FROM users
           WHERE sessions.id = :id AND user_id = :userId AND ${alive}
             AND users.id = user_id AND token_epoch = user_epoch
           RETURNING sessions.id, tokens_expire_at
         )
         INSERT INTO revocations (subject, minimum_epoch, expires_at)
         SELECT id, :everyEpoch, tokens_expire_at FROM ended
         RETURNING subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"`,
        { id, userId, everyEpoch },
      ),
  };
}
