import type { Knex } from "knex";
import type { Database } from "../database/database.ts";
import { commitSomething } from "../database/writable.ts";
import {
  everyEpoch,
  longestRevocationSeconds,
  type Revocation,
  type RevocationStore,
} from "../revocations/revocations.ts";
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
           RETURNING ${revocationColumns}`,
          { kid, everyEpoch, seconds: longestRevocationSeconds },
        );
        // Only if the signing key was revoked: verifiers already know the next key.
        if (signs > 0) await transaction.raw(promotion);
        return rows[0];
      }),
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
  /** Makes the connections anew: those that are followed, written and committed by. */
  renew?: () => void;
};

export function revocationStore(
  database: Database,
  {
    saw = () => {},
    ofRequests = database,
    commit = () => commitSomething(database),
    renew = database.renew,
  }: RevocationParts = {},
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
      renew(); // a connection leads to an old server
      return false;
    },

    async insert({ subject, minimumEpoch, expiresAt }) {
      await ofRequests.write((knex) =>
        knex("revocations").insert({ subject, minimum_epoch: minimumEpoch, expires_at: expiresAt }),
      );
    },
  };
}
