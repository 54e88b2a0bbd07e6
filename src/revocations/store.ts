import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { revocationSubject, userId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { bigint, integer, nullable, snapshot, text, timestamptz, xid8 } from "../database/sqlTypes.ts";
import { probeCommit } from "../database/writeCheck.ts";
import type { RevocationStore } from "./revocations.ts";
import { revocationColumns, revoke, selectedRevocation } from "./revoke.ts";

/**
 * How far the list was read: a snapshot of the database, and the start time of its server. After a failover, the new server may
 * have lost transactions and may use their ids for others.
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
 * The revocations that a snapshot does not show: first those of transactions that were in progress, then those of transactions
 * that had not begun. The first row has only the new cursor.
 */
const findNewRevocations = statement({
  name: "find-new-revocations",
  replan: true,
  sql: `SELECT ${selectedCursor}, NULL::xid8 AS xid, NULL::bigint AS id, NULL AS subject,
      NULL::integer AS "minimumEpoch", NULL::timestamptz AS "expiresAt"
    UNION ALL SELECT NULL, NULL, xid, id, ${selectedRevocation} FROM (
      (SELECT * FROM revocations
        WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip(:snapshot))) AND (xid, id) > (:xid, :id) AND expires_at > now()
        ORDER BY xid, id LIMIT ${pageSize})
      UNION ALL
      -- OFFSET 0 makes it read the index in order, not sort all rows for each page.
      (SELECT * FROM (
          SELECT * FROM revocations
          WHERE (xid, id) > (greatest(:xid, pg_snapshot_xmax(:snapshot)),
                             CASE WHEN :xid < pg_snapshot_xmax(:snapshot) THEN 0 ELSE :id END)
          ORDER BY xid, id OFFSET 0
        ) AS later
        WHERE expires_at > now() LIMIT ${pageSize})
      LIMIT ${pageSize}
    ) AS page`,
  parameters: { snapshot, xid: xid8, id: bigint },
  columns: {
    server: nullable(text),
    snapshot: nullable(text),
    xid: nullable(xid8),
    id: nullable(bigint),
    subject: nullable(revocationSubject),
    minimumEpoch: nullable(integer),
    expiresAt: nullable(timestamptz),
  },
});

const insertRevocation = statement({
  name: "insert-revocation",
  sql: `WITH audited AS (${recordEvent({ event: "token-revoked", subject: ":userId" })})
    ${revoke({ subject: ":subject", minimumEpoch: ":minimumEpoch", expiresAt: ":expiresAt" })}`,
  parameters: { ...revocationColumns, userId, audit: auditParameter },
  columns: revocationColumns,
});

type RevocationStoreOptions = {
  /** Called with each snapshot of the database that is read, and the time of the request (`performance.now()`). */
  onSnapshot?: (server: string, snapshot: string, atMs: number) => void;
  /** Writes the revocations of requests, so that they do not delay reads of the list. */
  requestDatabase?: Database;
  /** Makes a test commit. @returns the start time of the server that committed, as in a cursor */
  testCommit?: () => Promise<string>;
  /** Replaces all connections. */
  renew?: () => void;
};

/** @param database reads the list */
export function revocationStore(
  database: Database,
  {
    onSnapshot = () => {},
    requestDatabase = database,
    testCommit = () => probeCommit(database),
    renew = database.renew,
  }: RevocationStoreOptions = {},
): RevocationStore {
  return {
    async readAll(onPage) {
      const startedMs = performance.now();
      // The cursor is older than the first page, so that entries committed meanwhile are read again.
      const cursor = await database.read((knex) => readCursor.one(knex));
      onSnapshot(cursor.server, cursor.snapshot, startedMs);
      for (let last = "0"; ; ) {
        const page = await database.read((knex) => findRevocations.rows(knex, { last }));
        onPage(page);
        if (page.length < pageSize) return JSON.stringify(cursor);
        last = page.at(-1)?.id ?? last;
      }
    },

    async readSince(cursor, onPage) {
      const before = JSON.parse(cursor) as Cursor;
      const startedMs = performance.now();
      let next: Cursor | undefined;
      for (let last = { xid: "0", id: "0" }; ; ) {
        const rows = await database.read((knex) =>
          findNewRevocations.rows(knex, { snapshot: before.snapshot, ...last }),
        );
        // The cursor of the first page, so that entries committed while the other pages are read are read again.
        if (!next) {
          next = { server: rows[0]?.server ?? "", snapshot: rows[0]?.snapshot ?? "" };
          onSnapshot(next.server, next.snapshot, startedMs);
        }
        if (next.server !== before.server) return undefined;
        const entries = rows.flatMap(toEntry);
        onPage(entries);
        if (entries.length < pageSize) return JSON.stringify(next);
        last = entries.at(-1) ?? last;
      }
    },

    async isCurrent(cursor) {
      const { server } = JSON.parse(cursor) as Cursor;
      if ((await testCommit()) === server) return true;
      renew(); // a connection leads to an old server
      return false;
    },

    async insert({ subject, minimumEpoch, expiresAt }, userId) {
      const entry = { subject, minimumEpoch, expiresAt, userId, audit: auditContext() };
      await requestDatabase.write((knex) => insertRevocation.count(knex, entry));
    },
  };
}

const toEntry = ({ xid, id, subject, minimumEpoch, expiresAt }: RowOf<typeof findNewRevocations>) =>
  xid !== null && id !== null && subject !== null && minimumEpoch !== null && expiresAt !== null
    ? [{ xid, id, subject, minimumEpoch, expiresAt }]
    : [];
