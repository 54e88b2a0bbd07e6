import type { AuditEvent } from "../../audit/audit.ts";
import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { sessionId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { revocationColumns, revoke } from "../../revocations/revoke.ts";
import type { SessionStore } from "../storeTypes.ts";

const live = "ended_at IS NULL AND least(idle_expires_at, expires_at) > now()";
/** Joins a live session with its user. */
export const ofUser = `${live} AND users.id = user_id AND token_epoch = user_epoch`;

export const sessionDetails = (id: string) => `jsonb_build_object('session_id', ${id})`;

/** A statement that ends a session, and stores the event. */
const ending = (name: string, event: AuditEvent) =>
  statement({
    name,
    sql: `WITH ended AS (
        UPDATE sessions SET ended_at = now() FROM users
        WHERE sessions.id = :id AND user_id = :userId AND ${ofUser}
        RETURNING sessions.id, tokens_expire_at
      ), audited AS (
        ${recordEvent({ event, from: "ended", subject: ":userId", details: sessionDetails("ended.id") })}
      )
      ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}`,
    parameters: { id: sessionId, userId, audit: auditParameter },
    columns: revocationColumns,
  });

const endSession = ending("end-session", "session-ended");
const endReplayedSession = {
  "authorization-code-reused": ending("end-replayed-session", "authorization-code-reused"),
  "device-code-reused": ending("end-replayed-device", "device-code-reused"),
};
const endStolenSession = ending("end-stolen-session", "refresh-token-reused");

const lockUser = statement({
  name: "lock-user",
  sql: "SELECT FROM users WHERE id = :userId FOR KEY SHARE",
  parameters: { userId },
});

const forgetRefreshNetworks = statement({
  name: "forget-refresh-networks",
  sql: "DELETE FROM familiar_networks WHERE user_id = :userId AND NOT by_password",
  parameters: { userId },
});

/** The part of the store that ends sessions. */
export const endings = (database: Database): Pick<SessionStore, "end" | "endReplayed" | "endStolen"> => ({
  endReplayed: (event, userId, id) =>
    database.write((knex) => endReplayedSession[event].first(knex, { id, userId, audit: auditContext() })),

  end: (userId, id) => database.write((knex) => endSession.first(knex, { id, userId, audit: auditContext() })),

  endStolen: (userId, id, reason) =>
    database.write((knex) =>
      knex.transaction(async (transaction) => {
        // Locks the user first, as a deletion does, so that the two cannot deadlock.
        await lockUser.count(transaction, { userId });
        const revocation = await endStolenSession.first(transaction, { id, userId, audit: auditContext({ reason }) });
        // A separate statement sees the network that a refresh added while endSession waited for its lock.
        await forgetRefreshNetworks.count(transaction, { userId });
        return revocation;
      }),
    ),
});
