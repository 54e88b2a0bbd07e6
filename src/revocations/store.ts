import type { Database } from "../database/database.ts";
import { commitSomething } from "../database/writable.ts";
import type { Revocation, RevocationStore } from "./revocations.ts";

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
