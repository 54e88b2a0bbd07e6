import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { bigint, integer, nullable, snapshot, text, timestamptz, xid8 } from "../database/sqlTypes.ts";
import { commitSomething } from "../database/writable.ts";
import type { RevocationStore } from "./revocations.ts";
import { revocationColumns, revoke, selectedRevocation } from "./sql.ts";

/**
 * Up to where somebody has read: the snapshot, and the start of the server that it is of. Another
 * server (after a failover) may lack transactions and give their numbers to others.
 */
type Cursor = { server: string; snapshot: string };
const cursorColumns = { server: text, snapshot: text };
const selectedCursor = "pg_postmaster_start_time()::text AS server, pg_current_snapshot()::text AS snapshot";

const pageSize = 10_000;

const readCursor = statement({ name: "read-cursor", sql: `SELECT ${selectedCursor}`, columns: cursorColumns });

const findRevocations = statement({
  name: "find-revocations",
  sql: `SELECT id, ${selectedRevocation} FROM revocations
    WHERE id > :last AND expires_at > now() ORDER BY id LIMIT ${pageSize}`,
  parameters: { last: bigint },
  columns: { id: bigint, ...revocationColumns },
});

/**
 * The revocations that were not visible in a snapshot: those of transactions that began later, or were under way. If
 * there is none, the only row has no more than the cursor.
 */
const findNewRevocations = statement({
  name: "find-new-revocations",
  sql: `SELECT ${selectedCursor}, xid, id, ${selectedRevocation}
    FROM (SELECT) AS always
    LEFT JOIN (
      SELECT * FROM revocations
      WHERE (xid >= pg_snapshot_xmax(:snapshot) OR xid = ANY(ARRAY(SELECT pg_snapshot_xip(:snapshot))))
        AND (xid, id) > (:xid, :id) AND expires_at > now()
      ORDER BY xid, id LIMIT ${pageSize}
    ) AS page ON true`,
  parameters: { snapshot, xid: xid8, id: bigint },
  columns: {
    ...cursorColumns,
    xid: nullable(xid8),
    id: nullable(bigint),
    subject: nullable(text),
    minimumEpoch: nullable(integer),
    expiresAt: nullable(timestamptz),
  },
});

const insertRevocation = statement({
  name: "insert-revocation",
  sql: revoke({ subject: ":subject", minimumEpoch: ":minimumEpoch", expiresAt: ":expiresAt" }),
  parameters: revocationColumns,
  columns: revocationColumns,
});

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
      const cursor = await database.read((knex) => readCursor.one(knex));
      saw(cursor.server, cursor.snapshot, began);
      for (let last = "0"; ; ) {
        const page = await database.read((knex) => findRevocations.rows(knex, { last }));
        take(page);
        if (page.length < pageSize) return JSON.stringify(cursor);
        last = page.at(-1)?.id ?? last;
      }
    },

    async readSince(cursor, take) {
      const before = JSON.parse(cursor) as Cursor;
      const began = performance.now();
      let next: Cursor | undefined;
      for (let last = { xid: "0", id: "0" }; ; ) {
        const rows = await database.read((knex) =>
          findNewRevocations.rows(knex, { snapshot: before.snapshot, ...last }),
        );
        // The first page's cursor: what commits while the others are read is read again.
        if (!next) {
          next = { server: rows[0]?.server ?? "", snapshot: rows[0]?.snapshot ?? "" };
          saw(next.server, next.snapshot, began);
        }
        if (next.server !== before.server) return undefined;
        const entries = rows.flatMap(toEntry);
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
      await ofRequests.write((knex) => insertRevocation.count(knex, { subject, minimumEpoch, expiresAt }));
    },
  };
}

const toEntry = ({ xid, id, subject, minimumEpoch, expiresAt }: RowOf<typeof findNewRevocations>) =>
  xid !== null && id !== null && subject !== null && minimumEpoch !== null && expiresAt !== null
    ? [{ xid, id, subject, minimumEpoch, expiresAt }]
    : [];
