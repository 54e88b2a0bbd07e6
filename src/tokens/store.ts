import type { Database } from "../database/database.ts";
import type { Revocation, RevocationStore } from "./revocations.ts";
import type { SigningKeyStore, StoredKey } from "./signingKeys.ts";

/** Names the making of the first key among a database's advisory locks. */
const advisoryLock = 5_391_648;

export function signingKeyStore(database: Database): SigningKeyStore {
  return {
    async findAllOrInsert(first) {
      const found = await database.read((knex) => allKeys(knex));
      if (found.length > 0) return found;
      const { kid, privateJwe } = await first();
      return database.write((knex) =>
        knex.transaction(async (transaction) => {
          await transaction.raw("SELECT pg_advisory_xact_lock(?)", [advisoryLock]);
          const others = await allKeys(transaction);
          if (others.length > 0) return others;
          await transaction("signing_keys").insert({ kid, private_jwe: privateJwe });
          return allKeys(transaction);
        }),
      );
    },
  };
}

const allKeys = (knex: Parameters<Parameters<Database["read"]>[0]>[0]) =>
  knex("signing_keys").select<StoredKey[]>({ kid: "kid", privateJwe: "private_jwe" }).orderBy("created_at", "desc");

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
