/**
 * Deletes unused clients that registered themselves, or were read from a document: anyone can add such clients. A client that an
 * administrator has registered or changed is never deleted.
 */
import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { type Cleanup, cleanupBatchSize } from "../../database/cleanup.ts";
import { clientId } from "../../database/columns.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf } from "../../database/sqlTypes.ts";
import { revocationColumns, revoke } from "../../revocations/revoke.ts";

/** A client is deleted this long after its last use, or after its registration if it was never used. */
const unusedDays = 30;
/** Limits the size of the table. Of the clients that were never used, the newest are kept. */
const maxNeverUsed = 10_000;

const exists = (table: string): string => `EXISTS (SELECT FROM ${table} WHERE client_id = clients.id)`;

/** Whether a user has allowed the client something, or is being asked. */
const isUsed = `(${["grants", "sessions", "authorization_codes", "authorizations"].map(exists).join(" OR ")})`;

/** Fetching a document changes its client. An administrator can make that client first-party. */
const isUnattended = `CASE registration WHEN 'dynamic' THEN updated_at = created_at
  WHEN 'metadata-document' THEN NOT is_first_party ELSE false END`;

/** Twice a day is enough: codes and ended sessions are kept for longer. */
const markUsed = statement({
  name: "mark-used-clients",
  sql: `UPDATE clients SET last_used_at = now() WHERE id = ANY(ARRAY(
      SELECT id FROM clients
      WHERE registration <> 'administrator' AND (last_used_at IS NULL OR last_used_at < now() - interval '12 hours')
        AND ${isUsed}
      LIMIT ${cleanupBatchSize} FOR NO KEY UPDATE SKIP LOCKED))`,
});

/** Anyone can start the device flow of a public client. So a pending code does not count as a use. */
const lockUnused = statement({
  name: "lock-unused-clients",
  sql: `SELECT id FROM clients
    WHERE registration <> 'administrator' AND ${isUnattended} AND NOT ${isUsed}
      AND (coalesce(last_used_at, created_at) < now() - interval '${unusedDays} days' AND NOT ${exists("device_codes")}
        OR last_used_at IS NULL AND created_at < (
          SELECT created_at FROM clients WHERE registration <> 'administrator' AND last_used_at IS NULL
          ORDER BY created_at DESC OFFSET ${maxNeverUsed - 1} LIMIT 1))
    LIMIT ${cleanupBatchSize} FOR UPDATE SKIP LOCKED`,
  columns: { id: clientId },
});

/** Checks again, because a use may have been committed before the locks were taken. The locks prevent later uses. */
const deleteUnused = statement({
  name: "delete-unused-clients",
  sql: `WITH deleted AS (DELETE FROM clients WHERE id = ANY(:ids) AND NOT ${isUsed} RETURNING id, version, scopes),
      audited AS (${recordEvent({
        event: "client-deleted",
        from: "deleted",
        subject: "NULL::uuid",
        details: "jsonb_build_object('client_id', deleted.id, 'scope', array_to_string(deleted.scopes, ' '))",
      })})
    ${revoke({ from: "deleted", subject: "'client:' || id", minimumEpoch: "version + 1" })}`,
  parameters: { ids: arrayOf(clientId), audit: auditParameter },
  columns: revocationColumns,
});

export const unusedClients: Cleanup = {
  table: "clients",
  async deleteBatch(transaction) {
    await markUsed.count(transaction);
    const ids = (await lockUnused.rows(transaction)).map(({ id }) => id);
    if (ids.length === 0) return 0;
    return deleteUnused.count(transaction, { ids, audit: auditContext({ reason: "unused" }) });
  },
};
