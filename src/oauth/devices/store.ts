import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { clientId, grantId, sessionId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, boolean, bytea, integer, narrowed, nullable, text, timestamptz } from "../../database/sqlTypes.ts";
import {
  isAudienceUsable,
  lockOwner,
  startedColumns,
  startParameters,
  startSession,
  toStarted,
} from "../../sessions/clients/store.ts";
import { addToGrant, owner, ownerParameters } from "../authorization/store.ts";
import type { DeviceCodeState, DeviceCodeStore, DeviceDecision } from "./storeTypes.ts";

/** RFC 8628, section 3.5. */
const slowDownSeconds = 5;
/** A network may delay one poll and not the next, so the next one seems to be early. */
const earlySeconds = 1;
/** A device that has lost the response to a poll polls again after its interval. */
const retrySeconds = 30;

/** The client may have been deleted since it was authenticated. */
const insertDeviceCode = statement({
  name: "insert-device-code",
  sql: `WITH client AS MATERIALIZED (SELECT id FROM clients WHERE id = :clientId FOR KEY SHARE), inserted AS (
      INSERT INTO device_codes (digest, user_code_hmac, client_id, audience, scopes, expires_at, interval_seconds)
      SELECT :digest, :userCodeHmac, id, :audience, :scopes, now() + make_interval(secs => :lifetime), :interval FROM client
      ON CONFLICT (user_code_hmac) DO NOTHING
      RETURNING digest
    )
    SELECT EXISTS (SELECT FROM inserted) AS "isInserted" FROM client`,
  parameters: {
    digest: bytea,
    userCodeHmac: bytea,
    clientId,
    audience: text,
    scopes: arrayOf(text),
    lifetime: integer,
    interval: integer,
  },
  columns: { isInserted: boolean },
});

/** Neither decided nor expired. */
const pending = "user_code_hmac = ANY(:userCodes) AND decision IS NULL AND expires_at > now()";
const requestColumns = { clientId, audience: text, scopes: arrayOf(text) };

const findPendingDeviceCode = statement({
  name: "find-pending-device-code",
  sql: `SELECT client_id AS "clientId", audience, scopes FROM device_codes WHERE ${pending}`,
  parameters: { userCodes: arrayOf(bytea) },
  columns: requestColumns,
});

const decisionDetails = `jsonb_build_object('client_id', decided.client_id, 'audience', decided.audience,
  'scope', array_to_string(decided.scopes, ' '), 'reason', :decision)`;

/**
 * Locks the user, the client, the code and the grant, in this order, as everything else does. A concurrent decision waits for the
 * code, and then finds it decided.
 */
const decideDeviceCode = statement({
  name: "decide-device-code",
  sql: `WITH owner AS MATERIALIZED (${owner}), client AS MATERIALIZED (
      SELECT clients.id FROM owner, device_codes JOIN clients ON clients.id = client_id
      WHERE ${pending} FOR KEY SHARE OF clients
    ), request AS MATERIALIZED (
      SELECT device_codes.* FROM client, device_codes WHERE client_id = client.id AND ${pending}
      FOR NO KEY UPDATE OF device_codes
    ), allowed AS (
      SELECT client_id, audience, ARRAY(SELECT scope FROM unnest(scopes) AS scope WHERE scope = ANY(:held)) AS scopes
      FROM request WHERE :decision = 'allowed'
    ), granted AS (
      ${addToGrant("allowed", ":userId")}
    ), decided AS (
      UPDATE device_codes
      SET decision = :decision, user_id = :userId, user_epoch = :epoch, authenticated_at = :authenticatedAt,
          grant_id = (SELECT id FROM granted), scopes = coalesce((SELECT scopes FROM allowed), device_codes.scopes)
      FROM request WHERE device_codes.digest = request.digest
      RETURNING device_codes.client_id, device_codes.audience, device_codes.scopes
    ), audited AS (
      ${recordEvent({ event: "device-decided", from: "decided", subject: ":userId", details: decisionDetails })}
    )
    SELECT client_id AS "clientId", audience, scopes FROM decided`,
  parameters: {
    ...ownerParameters,
    userCodes: arrayOf(bytea),
    grantId,
    decision: narrowed<DeviceDecision["decision"]>(text),
    held: arrayOf(text),
    authenticatedAt: timestamptz,
    audit: auditParameter,
  },
  columns: requestColumns,
});

const pollDeviceCode = statement({
  name: "poll-device-code",
  sql: `WITH code AS MATERIALIZED (
      SELECT digest, CASE
          WHEN redeemed_at < now() - interval '${retrySeconds} seconds' THEN 'replayed'
          WHEN redeemed_at IS NOT NULL THEN 'redeemed'
          WHEN expires_at <= now() THEN 'expired'
          WHEN decision IS NOT NULL THEN decision
          WHEN last_polled_at > now() - make_interval(secs => interval_seconds - ${earlySeconds}) THEN 'early'
          ELSE 'pending' END AS state, audience, user_id, session_id
      FROM device_codes WHERE digest = :digest AND client_id = :clientId FOR NO KEY UPDATE
    ), polled AS (
      UPDATE device_codes
      SET last_polled_at = now(),
          interval_seconds = interval_seconds + CASE state WHEN 'early' THEN ${slowDownSeconds} ELSE 0 END
      FROM code WHERE device_codes.digest = code.digest AND state IN ('early', 'pending')
    )
    SELECT state, audience, user_id AS "userId", session_id AS "sessionId" FROM code`,
  parameters: { digest: bytea, clientId },
  columns: {
    state: narrowed<DeviceCodeState>(text),
    audience: text,
    userId: nullable(userId),
    sessionId: nullable(sessionId),
  },
});

/** What has ended the user's tokens since the decision has ended the code as well. */
const redeemDeviceCode = statement({
  name: "redeem-device-code",
  sql: `WITH ${lockOwner("(SELECT user_id FROM device_codes WHERE digest = :digest)")}, redeemed AS MATERIALIZED (
      UPDATE device_codes SET redeemed_at = now(), session_id = :sessionId FROM owner, client
      WHERE digest = :digest AND client_id = client.id AND decision = 'allowed' AND redeemed_at IS NULL
        AND user_id = owner.id AND user_epoch = token_epoch AND expires_at > now()
        AND ${isAudienceUsable("device_codes.audience")}
      RETURNING device_codes.*
    ), ${startSession("redeemed")}`,
  parameters: { ...startParameters, digest: bytea, audit: auditParameter },
  columns: startedColumns,
});

export const deviceCodeStore = (database: Database): DeviceCodeStore => ({
  async insert({ lifetimeSeconds, intervalSeconds, ...code }) {
    const values = { ...code, lifetime: lifetimeSeconds, interval: intervalSeconds };
    const row = await database.write((knex) => insertDeviceCode.first(knex, values));
    return row?.isInserted;
  },

  findPending: (userCodes) => database.read((knex) => findPendingDeviceCode.first(knex, { userCodes })),

  decide: (userCodes, decision) =>
    database.write((knex) =>
      decideDeviceCode.first(knex, {
        ...decision,
        held: [...decision.held],
        decidingSessionId: decision.decidingSessionId ?? null,
        userCodes,
        audit: auditContext(),
      }),
    ),

  poll: (digest, clientId) => database.write((knex) => pollDeviceCode.first(knex, { digest, clientId })),

  async redeem(digest, session) {
    const values = { ...session, digest, audit: auditContext() };
    const row = await database.write((knex) => redeemDeviceCode.first(knex, values));
    return row && toStarted(row);
  },
});
