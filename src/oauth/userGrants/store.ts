import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { clientId, grantId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, integer, nullable, text, timestamptz, uuid } from "../../database/sqlTypes.ts";
import { revocationsColumn, revoke, selectedRevocations, toRevocations } from "../../revocations/revoke.ts";
import type { UserGrantStore } from "./storeTypes.ts";

const listGrants = statement({
  name: "list-grants",
  sql: `SELECT grants.id, client_id AS "clientId", clients.name AS "clientName", audience, grants.scopes,
      grants.created_at AS "createdAt", grants.updated_at AS "updatedAt"
    FROM grants JOIN clients ON clients.id = client_id
    WHERE user_id = :userId AND (:cursor IS NULL OR grants.id < :cursor)
    ORDER BY grants.id DESC LIMIT :limit`,
  parameters: { userId, cursor: nullable(uuid), limit: integer },
  columns: {
    id: grantId,
    clientId,
    clientName: text,
    audience: text,
    scopes: arrayOf(text),
    createdAt: timestamptz,
    updatedAt: timestamptz,
  },
});

/**
 * Locks the user, the client and the grant, in the order in which all statements lock them: the redemption of a code locks the user,
 * and another consent locks the grant. The next statement of the transaction sees what they have committed.
 */
const lockGrant = statement({
  name: "lock-grant",
  sql: `WITH owner AS MATERIALIZED (
      SELECT id FROM users WHERE id = :userId FOR NO KEY UPDATE
    ), client AS MATERIALIZED (
      SELECT clients.id FROM owner, grants, clients
      WHERE grants.id = :id AND grants.user_id = owner.id AND clients.id = grants.client_id FOR KEY SHARE OF clients
    )
    SELECT FROM client, grants WHERE grants.id = :id AND user_id = :userId AND client_id = client.id FOR UPDATE OF grants`,
  parameters: { id: grantId, userId },
});

const grantDetails = `jsonb_build_object('client_id', deleted.client_id, 'audience', deleted.audience,
  'scope', array_to_string(deleted.scopes, ' '))`;

const deleteGrant = statement({
  name: "delete-grant",
  sql: `WITH deleted AS (
      DELETE FROM grants WHERE id = :id AND user_id = :userId RETURNING *
    ), deleted_codes AS (
      DELETE FROM authorization_codes USING deleted WHERE authorization_codes.user_id = :userId AND grant_id = deleted.id
    ), deleted_device_codes AS (
      DELETE FROM device_codes USING deleted WHERE device_codes.user_id = :userId AND grant_id = deleted.id
    ), ended AS (
      UPDATE sessions SET ended_at = now() FROM deleted
      WHERE grant_id = deleted.id AND sessions.user_id = :userId AND ended_at IS NULL
      RETURNING sessions.id, tokens_expire_at
    ), revoked AS (
      ${revoke({ from: "ended", expiresAt: "tokens_expire_at" })}
    ), audited AS (
      ${recordEvent({ event: "grant-deleted", from: "deleted", subject: "deleted.user_id", details: grantDetails })}
    )
    SELECT client_id AS "clientId", audience, scopes,
      ${selectedRevocations} AS revoked
    FROM deleted`,
  parameters: { id: grantId, userId, audit: auditParameter },
  columns: {
    clientId,
    audience: text,
    scopes: arrayOf(text),
    revoked: revocationsColumn,
  },
});

export const userGrantStore = (database: Database): UserGrantStore => ({
  list: (userId, limit, cursor) =>
    database.read((knex) => listGrants.rows(knex, { userId, limit, cursor: cursor ?? null })),

  delete: (userId, id) =>
    database.write((knex) =>
      knex.transaction(async (transaction) => {
        if ((await lockGrant.count(transaction, { id, userId })) === 0) return undefined;
        const { revoked, ...grant } = await deleteGrant.one(transaction, { id, userId, audit: auditContext() });
        return { ...grant, revocations: toRevocations(revoked) };
      }),
    ),
});
