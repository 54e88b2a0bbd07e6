import type { Database } from "../database/database.ts";
import { everyEpoch, longestRevocationSeconds, type Revocation, type RevocationStore } from "./revocations.ts";
import type { SigningKeyStore, StoredKey } from "./signingKeys.ts";

/** Names the making of a key among a database's advisory locks. */
const advisoryLock = 5_391_648;

export function signingKeyStore(database: Database): SigningKeyStore {
  return {
    async findAll() {
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: StoredKey[] }>(
          `SELECT kid, private_jwe AS "privateJwe", created_at AS "createdAt",
                  activates_at AS "activatesAt", revoked_at AS "revokedAt"
           FROM signing_keys ORDER BY activates_at DESC, kid`,
        ),
      );
      return rows;
    },

    async insertUnlessYounger({ kid, privateJwe }, youngerThanSeconds, activatesInSeconds) {
      const inserted = await database.write((knex) =>
        knex.transaction(async (transaction) => {
          await transaction.raw("SELECT pg_advisory_xact_lock(?)", [advisoryLock]);
          return transaction.raw<{ rowCount: number }>(
            `INSERT INTO signing_keys (kid, private_jwe, activates_at)
             SELECT :kid, :privateJwe, now() + make_interval(secs => :activatesIn)
             WHERE NOT EXISTS (SELECT FROM signing_keys WHERE revoked_at IS NULL
               AND (:youngerThan::float8 IS NULL OR created_at > now() - make_interval(secs => :youngerThan)))`,
            { kid, privateJwe, activatesIn: activatesInSeconds, youngerThan: youngerThanSeconds ?? null } as never,
          );
        }),
      );
      return inserted.rowCount === 1;
    },

    async reseal({ kid, privateJwe }) {
      await database.write((knex) => knex("signing_keys").where({ kid }).update({ private_jwe: privateJwe }));
    },

    async revoke(kid) {
      const { rows } = await database.write((knex) =>
        knex.raw<{ rows: Revocation[] }>(
          `WITH revoked AS (
             UPDATE signing_keys SET revoked_at = now() WHERE kid = :kid AND revoked_at IS NULL RETURNING kid
           )
           INSERT INTO revocations (subject, minimum_epoch, expires_at)
           SELECT kid, :everyEpoch, now() + make_interval(secs => :seconds) FROM revoked
           RETURNING ${revocationColumns}`,
          { kid, everyEpoch, seconds: longestRevocationSeconds },
        ),
      );
      return rows[0];
    },
  };
}

const pageSize = 10_000;
const revocationColumns = 'subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"';

export function revocationStore(database: Database): RevocationStore {
  return {
    async readAll(take) {
      // The cursor is from before the first page: what commits during the reading is read again.
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: [{ cursor: string }] }>("SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS cursor"),
      );
      for (let last = "0"; ; ) {
        const page = await database.read((knex) =>
          knex.raw<{ rows: (Revocation & { id: string })[] }>(
            `SELECT id, ${revocationColumns} FROM revocations
             WHERE id > ? AND expires_at > now() ORDER BY id LIMIT ?`,
            [last, pageSize],
          ),
        );
        take(page.rows);
        if (page.rows.length < pageSize) return rows[0].cursor;
        last = page.rows.at(-1)?.id ?? last;
      }
    },

    async readSince(cursor) {
      // One statement, so one snapshot: what it does not show has an xid of at least its xmin.
      const { rows } = await database.read((knex) =>
        knex.raw<{ rows: ({ cursor: string } & Revocation)[] }>(
          `SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS cursor, ${revocationColumns}
           FROM (SELECT) AS always
           LEFT JOIN revocations ON xid >= ?::xid8 AND expires_at > now()`,
          [cursor],
        ),
      );
      return { entries: rows.filter(({ subject }) => subject !== null), cursor: rows[0]?.cursor ?? cursor };
    },

    async insert({ subject, minimumEpoch, expiresAt }) {
      await database.write((knex) =>
        knex("revocations").insert({ subject, minimum_epoch: minimumEpoch, expires_at: expiresAt }),
      );
    },
  };
}
