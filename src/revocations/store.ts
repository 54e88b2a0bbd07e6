import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { revocationSubject, userId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { bigint, integer, nullable, snapshot, text, timestamptz, xid8 } from "../database/sqlTypes.ts";
import { probeCommit } from "../database/writeCheck.ts";
import type { Page } from "./cursor.ts";
import { emptySnapshot, limitSnapshot, type Position } from "./position.ts";
import { revocationColumns, revoke, selectedRevocation } from "./revoke.ts";
import type { FeedStore, RevocationStore } from "./storeTypes.ts";

const selectedPosition = "pg_postmaster_start_time()::text AS server, pg_current_snapshot()::text AS snapshot";

const pageSize = 10_000;

const readPosition = statement({
  name: "read-position",
  sql: `SELECT ${selectedPosition}`,
  columns: { server: text, snapshot: text },
});

const findRevocations = statement({
  name: "find-revocations",
  sql: `SELECT id, ${selectedRevocation} FROM revocations
    WHERE id > :last AND expires_at > now() ORDER BY id LIMIT ${pageSize}`,
  parameters: { last: bigint },
  columns: { id: bigint, ...revocationColumns },
});

/**
 * The revocations that a snapshot does not show: first those of transactions that were in progress, then those of transactions
 * that had not begun. The first row has only the new position.
 */
const findNewRevocations = statement({
  name: "find-new-revocations",
  replan: true,
  sql: `SELECT ${selectedPosition}, NULL::xid8 AS xid, NULL::bigint AS id, NULL AS subject,
      NULL::integer AS "minimumEpoch", NULL::timestamptz AS "expiresAt"
    UNION ALL SELECT NULL, NULL, xid, id, ${selectedRevocation} FROM (
      (SELECT * FROM revocations
        WHERE xid = ANY(ARRAY(SELECT pg_snapshot_xip(:snapshot))) AND (xid, id) > (:xid, :id) AND expires_at > now()
        ORDER BY xid, id LIMIT :limit)
      UNION ALL
      -- OFFSET 0 makes it read the index in order, not sort all rows for each page.
      (SELECT * FROM (
          SELECT * FROM revocations
          WHERE (xid, id) > (greatest(:xid, pg_snapshot_xmax(:snapshot)),
                             CASE WHEN :xid < pg_snapshot_xmax(:snapshot) THEN 0 ELSE :id END)
          ORDER BY xid, id OFFSET 0
        ) AS later
        WHERE expires_at > now() LIMIT :limit)
      LIMIT :limit
    ) AS page`,
  parameters: { snapshot, xid: xid8, id: bigint, limit: integer },
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
  parameters: { ...revocationColumns, userId: nullable(userId), audit: auditParameter },
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
      // The position is older than the first page, so that entries committed meanwhile are read again.
      const { server, snapshot } = await database.read((knex) => readPosition.one(knex));
      onSnapshot(server, snapshot, startedMs);
      for (let last = "0"; ; ) {
        const page = await database.read((knex) => findRevocations.rows(knex, { last }));
        onPage(page);
        if (page.length < pageSize) return { server, snapshot: limitSnapshot(snapshot) };
        last = page.at(-1)?.id ?? last;
      }
    },

    async readSince(before, onPart) {
      const startedMs = performance.now();
      let target: Position | undefined;
      for (let last = { xid: "0", id: "0" }; ; ) {
        const page = await readPage(database, { base: before.snapshot, ...last }, pageSize);
        // The position of the first page, so that entries committed while the other pages are read are read again.
        if (!target) {
          onSnapshot(page.server, page.snapshot, startedMs);
          target = { server: page.server, snapshot: limitSnapshot(page.snapshot) };
        }
        if (target.server !== before.server) return undefined;
        const { entries } = page;
        const isLast = entries.length < pageSize;
        onPart({ entries, target, isLast });
        if (isLast) return target;
        last = entries.at(-1) ?? last;
      }
    },

    async isCurrent({ server }) {
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

/** @param database of requests: a page is read for one follower, or for several that ask at the same time */
export function feedStore(database: Database): FeedStore {
  return { readPage: (page, limit) => readPage(database, page, limit) };
}

async function readPage(database: Database, { base, xid, id }: Page, limit: number) {
  const rows = await database.read((knex) => findNewRevocations.rows(knex, { snapshot: base, xid, id, limit }));
  const { server, snapshot } = rows[0] ?? {};
  return { server: server ?? "", snapshot: snapshot ?? emptySnapshot, entries: rows.flatMap(toEntry) };
}

const toEntry = ({ xid, id, subject, minimumEpoch, expiresAt }: RowOf<typeof findNewRevocations>) =>
  xid !== null && id !== null && subject !== null && minimumEpoch !== null && expiresAt !== null
    ? [{ xid, id, subject, minimumEpoch, expiresAt }]
    : [];
