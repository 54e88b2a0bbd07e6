/** The SQL that starts the session of a client. A store that redeems what a user has allowed uses it inside its own statement. */
import { recordEvent } from "../../audit/recordEvent.ts";
import { clientId, sessionId, userId, username } from "../../database/columns.ts";
import { arrayOf, bytea, integer, nullable, text, timestamptz } from "../../database/sqlTypes.ts";
import { revocationsColumn, revoke, selectedRevocations, toRevocations } from "../../revocations/revoke.ts";
import type { StartedClientSession } from "./clientSessions.ts";

/**
 * CTEs that lock what a session refers to, in the order in which everything else locks it. `owner` has the user unless they are
 * blocked, `client` the client.
 * @param user SQL of the user's id
 */
export const lockOwner = (user: string): string => `owner AS MATERIALIZED (
    SELECT id, username, token_epoch FROM users WHERE id = ${user} AND blocked_at IS NULL FOR NO KEY UPDATE
  ), client AS MATERIALIZED (
    SELECT clients.id, redirect_uris, audiences FROM owner, clients WHERE clients.id = :clientId FOR KEY SHARE OF clients
  )`;

/**
 * Whether the client may still get tokens for the audience that the user has allowed. Otherwise a session would start without a
 * token.
 * @param audience SQL
 */
export const isAudienceUsable = (audience: string): string =>
  `(${audience} = :issuer OR (${audience} = ANY (client.audiences) AND EXISTS (SELECT FROM apis WHERE apis.audience = ${audience})))`;

/**
 * CTEs that start a session, and a `SELECT` that ends the statement. Like `create-session`, it ends the oldest sessions beyond the
 * limit. The statement begins with `lockOwner`.
 * @param from a CTE with at most one row: the columns of `authorization_codes` that describe a session
 * @param selected more columns, of `from`
 */
export const startSession = (from: string, selected = ""): string => `ended AS MATERIALIZED (
    SELECT oldest.*, user_id FROM ${from}, end_oldest_sessions(user_id, user_epoch, :kept) AS oldest
  ), revoked AS (
    ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}
  ), sessions AS (
    INSERT INTO sessions (id, user_id, user_epoch, seed, refresh_digest, idle_expires_at, expires_at, listed_used_at,
                          listed_idle_expires_at, tokens_expire_at, user_agent, address, audience, scopes, client_id, grant_id,
                          authenticated_at, dpop_jkt)
    SELECT :sessionId, user_id, user_epoch, :seed, :refreshDigest, now() + make_interval(secs => :idle),
           now() + make_interval(secs => :lifetime), now(), now() + make_interval(secs => :idle),
           now() + make_interval(secs => :tokens), :userAgent, :address, audience, scopes, client_id, grant_id, authenticated_at,
           :refreshKey
    FROM ${from} WHERE (SELECT count(*) FROM ended) >= 0
    RETURNING *
  ), audited AS (
    ${recordEvent({
      event: "session-created",
      from: "sessions",
      subject: "user_id",
      details: "jsonb_build_object('session_id', sessions.id, 'client_id', client_id)",
    })}
  ), audited_ended AS (
    ${recordEvent({
      event: "session-ended",
      from: "ended",
      subject: "user_id",
      details: "jsonb_build_object('session_id', ended.id, 'reason', 'too-many')",
    })}
  )
  SELECT sessions.user_id AS "userId", username, sessions.user_epoch AS epoch, ${from}.audience, ${from}.scopes,
    coalesce(${from}.authenticated_at, now()) AS "authenticatedAt",
    floor(extract(epoch FROM least(idle_expires_at, sessions.expires_at) - now()))::integer AS "refreshExpiresInSeconds",
    ${selectedRevocations} AS ended ${selected}
  FROM sessions, owner, ${from}`;

export const startParameters = {
  clientId,
  issuer: text,
  kept: integer,
  sessionId,
  seed: bytea,
  refreshDigest: bytea,
  idle: integer,
  lifetime: integer,
  tokens: integer,
  userAgent: nullable(text),
  address: nullable(text),
  refreshKey: nullable(text),
};

export const startedColumns = {
  userId,
  username,
  epoch: integer,
  audience: text,
  scopes: arrayOf(text),
  authenticatedAt: timestamptz,
  refreshExpiresInSeconds: integer,
  ended: revocationsColumn,
};

type StartedRow = Omit<StartedClientSession, "ended"> & { ended: Parameters<typeof toRevocations>[0] };

/** @param row with `startedColumns` */
export const toStarted = <Row extends StartedRow>({ ended, ...session }: Row) => ({
  ...session,
  ended: toRevocations(ended),
});
