import type { Knex } from "knex";
import type { Database } from "../database/database.ts";
import { everyEpoch, longestRevocationSeconds, type Revocation } from "../revocations/revocations.ts";
import {
  preparedBeforeSigningSeconds,
  publishedBeforeSigningSeconds,
  type SigningKeyStore,
  type StoredKey,
} from "./signingKeys.ts";

/** Names the making of a key among a database's advisory locks. */
export const signingKeyLock = 5_391_648;

const keyColumns = `kid, private_jwe AS "privateJwe", created_at AS "createdAt", activates_at AS "activatesAt",
  revoked_at AS "revokedAt"`;

/** Makes the next key sign now. */
const promotion = `UPDATE signing_keys SET activates_at = now()
  WHERE kid = (SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at > now()
               ORDER BY activates_at, kid DESC LIMIT 1)`;
const signing = `SELECT kid FROM signing_keys WHERE revoked_at IS NULL AND activates_at <= now()
  ORDER BY activates_at DESC, kid LIMIT 1`;

export function signingKeyStore(database: Database): SigningKeyStore {
  /** Changes the keys while nobody else does. */
  const changingKeys = <T>(change: (transaction: Knex.Transaction) => PromiseLike<T>): Promise<T> =>
    database.write((knex) =>
      knex.transaction(async (transaction) => {
        await transaction.raw("SELECT pg_advisory_xact_lock(?)", [signingKeyLock]);
        return change(transaction);
      }),
    );

  return {
    async findAll() {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: StoredKey[] }>(`SELECT ${keyColumns} FROM signing_keys ORDER BY activates_at DESC, kid`),
      );
      return rows;
    },

    async now() {
      const { rows } = await database.read((knex) => knex.raw<{ rows: [{ now: Date }] }>("SELECT now() AS now"));
      return rows[0].now;
    },

    async lacksSuccessor() {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: [{ lacks: boolean }] }>(
          `SELECT NOT EXISTS (SELECT FROM signing_keys WHERE revoked_at IS NULL
                              AND activates_at > now() + make_interval(secs => ?)) AS lacks`,
          [preparedBeforeSigningSeconds],
        ),
      );
      return rows[0].lacks;
    },

    append: ({ kid, privateJwe }, rotationSeconds) =>
      changingKeys(async (transaction) => {
        const { rowCount } = await transaction.raw<{ rowCount: number }>(
          `INSERT INTO signing_keys (kid, private_jwe, activates_at)
           SELECT :kid, :privateJwe, CASE WHEN last IS NULL THEN now() ELSE
             greatest(now() + make_interval(secs => :published), last + make_interval(secs => :rotation)) END
           FROM (SELECT max(activates_at) AS last FROM signing_keys WHERE revoked_at IS NULL) AS line
           WHERE last IS NULL OR last <= now() + make_interval(secs => :prepared)`,
          {
            kid,
            privateJwe,
            rotation: rotationSeconds,
            published: publishedBeforeSigningSeconds,
            prepared: preparedBeforeSigningSeconds,
          },
        );
        return rowCount === 1;
      }),

    advance: (rotationSeconds) =>
      changingKeys(async (transaction) => {
        const { rows } = await transaction.raw<{ rows: StoredKey[] }>(
          `UPDATE signing_keys SET activates_at = greatest(now(), created_at + make_interval(secs => :published))
           WHERE kid = (SELECT kid FROM signing_keys WHERE revoked_at IS NULL ORDER BY activates_at DESC, kid LIMIT 1)
             AND activates_at > greatest(now(), created_at + make_interval(secs => :published))
             AND (:rotation::float8 IS NULL OR NOT EXISTS (
               SELECT FROM signing_keys WHERE revoked_at IS NULL
                 AND activates_at > now() - make_interval(secs => :rotation)
                 AND activates_at <= now() + make_interval(secs => :prepared)))
           RETURNING ${keyColumns}`,
          {
            rotation: rotationSeconds ?? null,
            published: publishedBeforeSigningSeconds,
            prepared: preparedBeforeSigningSeconds,
          } as never,
        );
        return rows[0];
      }),

    async promote() {
      await changingKeys((transaction) => transaction.raw(`${promotion} AND NOT EXISTS (${signing})`));
    },

    async reseal({ kid, privateJwe }) {
      await database.write((knex) => knex("signing_keys").where({ kid }).update({ private_jwe: privateJwe }));
    },

    revoke: (kid) =>
      changingKeys(async (transaction) => {
        const { rowCount: signs } = await transaction.raw<{ rowCount: number }>(`SELECT WHERE ? = (${signing})`, [kid]);
        const { rows } = await transaction.raw<{ rows: Revocation[] }>(
          `WITH revoked AS (
             UPDATE signing_keys SET revoked_at = now() WHERE kid = :kid AND revoked_at IS NULL RETURNING kid
           )
           INSERT INTO revocations (subject, minimum_epoch, expires_at)
           SELECT kid, :everyEpoch, now() + make_interval(secs => :seconds) FROM revoked
           RETURNING subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"`,
          { kid, everyEpoch, seconds: longestRevocationSeconds },
        );
        // Only if the signing key was revoked: verifiers already know the next key.
        if (signs > 0) await transaction.raw(promotion);
        return rows[0];
      }),
  };
}
