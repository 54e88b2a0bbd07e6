import type { Database } from "../database/database.ts";
import { commitSomething } from "../database/writable.ts";
import { everyEpoch, longestRevocationSeconds, type Revocation, type RevocationStore } from "./revocations.ts";
import type { SigningKeyStore, StoredKey } from "./signingKeys.ts";

/** Names the making of a key among a database's advisory locks. */
export const signingKeyLock = 5_391_648;

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
          await transaction.raw("SELECT pg_advisory_xact_lock(?)", [signingKeyLock]);
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

/**
 * Up to where somebody has read: the snapshot, and the start of the server that it is of. Another
 * server (after a failover) may lack transactions and give their numbers to others.
 */
type Cursor = { server: string; snapshot: string };
const cursorColumns = "pg_postmaster_start_time()::text AS server, pg_current_snapshot()::text AS snapshot";

const pageSize = 10_000;
const revocationColumns = 'subject, minimum_epoch AS "minimumEpoch", expires_at AS "expiresAt"';

type RevocationParts = {
  /** Called with each snapshot of the database that is read, and when it was asked for (`performance.now()`). */
  saw?: (server: string, snapshot: string, atMs: number) => void;
  /** What requests write by. The list is followed by the other one, which no request can keep waiting. */
  ofRequests?: Database;
  /** Commits something, and returns on which server: its postmaster's start time. */
  commit?: () => Promise<string>;
};

export function revocationStore(
  database: Database,
  { saw = () => {}, ofRequests = database, commit = () => commitSomething(database) }: RevocationParts = {},
): RevocationStore {
  return {
    async readAll(take) {
      const began = performance.now();
      // The cursor is from before the first page: what commits during the reading is read again.
      const { rows } = await database.read((knex) => knex.raw<{ rows: [Cursor] }>(`SELECT ${cursorColumns}`));
      saw(rows[0].server, rows[0].snapshot, began);
      for (let last = "0"; ; ) {
        const page = await database.read((knex) =>
          knex.raw<{ rows: (Revocation & { id: string })[] }>(
            `SELECT id, ${revocationColumns} FROM revocations
             WHERE id > ? AND expires_at > now() ORDER BY id LIMIT ?`,
            [last, pageSize],
          ),
        );
        take(page.rows);
        if (page.rows.length < pageSize) return JSON.stringify(rows[0]);
        last = page.rows.at(-1)?.id ?? last;
      }
    },

    async readSince(cursor, take) {
      const before = JSON.parse(cursor) as Cursor;
      const began = performance.now();
      let next: Cursor | undefined;
      for (let last = { xid: "0", id: "0" }; ; ) {
        const { rows } = await database.read((knex) =>
          knex.raw<{ rows: (Cursor & Revocation & { xid: string; id: string })[] }>(
            // What was not visible then: transactions that began later, or were under way.
            `SELECT ${cursorColumns}, xid::text, id, ${revocationColumns}
             FROM (SELECT) AS always
             LEFT JOIN (
               SELECT * FROM revocations
               WHERE (xid >= pg_snapshot_xmax(:snapshot::pg_snapshot)
                      OR xid = ANY(ARRAY(SELECT pg_snapshot_xip(:snapshot::pg_snapshot))))
                 AND (xid, id) > (:xid::xid8, :id::bigint) AND expires_at > now()
               ORDER BY xid, id LIMIT :pageSize
             ) AS page ON true`,
            { snapshot: before.snapshot, ...last, pageSize },
          ),
        );
        // The first page's cursor: what commits while the others are read is read again.
        if (!next) {
          next = { server: rows[0]?.server ?? "", snapshot: rows[0]?.snapshot ?? "" };
          saw(next.server, next.snapshot, began);
        }
        if (next.server !== before.server) return undefined;
        const entries = rows.filter(({ subject }) => subject !== null);
        take(entries);
        if (entries.length < pageSize) return JSON.stringify(next);
        last = entries.at(-1) ?? last;
      }
    },

    async isCurrent(cursor) {
      const { server } = JSON.parse(cursor) as Cursor;
      if ((await commit()) === server) return true;
      for (const { renew } of [database, ofRequests]) renew(); // one of them is connected to a server of the past
      return false;
    },

    async insert({ subject, minimumEpoch, expiresAt }) {
      await ofRequests.write((knex) =>
        knex("revocations").insert({ subject, minimum_epoch: minimumEpoch, expires_at: expiresAt }),
      );
    },
  };
}
