import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter } from "../../audit/recordEvent.ts";
import { clientId, sessionId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { bytea, nullable, text } from "../../database/sqlTypes.ts";
import {
  isAudienceUsable,
  lockOwner,
  startedColumns,
  startParameters,
  startSession,
  toStarted,
} from "../../sessions/clients/store.ts";
import type { CodeStore } from "./storeTypes.ts";

/** All that is presented is right. A code that is bound to a key needs a proof of it (RFC 9449, section 10). */
const presented = `digest = :digest AND authorization_codes.client_id = :clientId AND code_challenge = :codeChallenge
  AND (:redirectUri IS NULL OR redirect_uri = :redirectUri) AND (dpop_jkt IS NULL OR dpop_jkt = :proofKey)`;
const presentedParameters = {
  digest: bytea,
  clientId,
  codeChallenge: text,
  redirectUri: nullable(text),
  proofKey: nullable(text),
};

/** Whether the session in which the user allowed the code has not ended. True for a code without such a session. */
const isSessionLive = `(deciding_session_id IS NULL OR EXISTS (
  SELECT FROM sessions WHERE sessions.id = deciding_session_id AND ended_at IS NULL))`;

/** The port of a loopback address is free, as in `isRegistered`. */
const withoutPort = (uri: string) => `regexp_replace(${uri}, '^(http://(127\\.0\\.0\\.1|\\[::1\\])):[0-9]+', '\\1')`;
/** Whether the client still has the redirect URI to which the code was sent. */
const isStillRegistered = `${withoutPort("redirect_uri")} IN (
  SELECT ${withoutPort("registered")} FROM unnest(client.redirect_uris) AS registered)`;

/** Anything that ended the user's tokens since the code was issued has also ended the code. */
const redeemCode = statement({
  name: "redeem-authorization-code",
  sql: `WITH ${lockOwner("(SELECT user_id FROM authorization_codes WHERE digest = :digest)")}, redeemed AS MATERIALIZED (
      UPDATE authorization_codes SET redeemed_at = now(), session_id = :sessionId FROM owner, client
      WHERE ${presented} AND user_id = owner.id AND user_epoch = token_epoch AND redeemed_at IS NULL AND expires_at > now()
        AND ${isSessionLive} AND ${isStillRegistered} AND ${isAudienceUsable("authorization_codes.audience")}
      RETURNING authorization_codes.*
    ), ${startSession("redeemed", ", redeemed.nonce")}`,
  parameters: { ...startParameters, ...presentedParameters, audit: auditParameter },
  columns: { ...startedColumns, nonce: nullable(text) },
});

const findCodeAudience = statement({
  name: "find-code-audience",
  sql: "SELECT audience FROM authorization_codes WHERE digest = :digest AND client_id = :clientId",
  parameters: { digest: bytea, clientId },
  columns: { audience: text },
});

const findRedeemedCode = statement({
  name: "find-redeemed-code",
  sql: `SELECT user_id AS "userId", session_id AS "sessionId" FROM authorization_codes
    WHERE ${presented} AND redeemed_at IS NOT NULL`,
  parameters: presentedParameters,
  columns: { userId, sessionId: nullable(sessionId) },
});

export const codeStore = (database: Database): CodeStore => ({
  findAudience: async (digest, clientId) =>
    (await database.read((knex) => findCodeAudience.first(knex, { digest, clientId })))?.audience,

  async redeem(code, session) {
    const values = { ...code, ...session, audit: auditContext() };
    const row = await database.write((knex) => redeemCode.first(knex, values));
    return row && toStarted(row);
  },

  async findRedeemed(code) {
    const { userId, sessionId } = (await database.read((knex) => findRedeemedCode.first(knex, code))) ?? {};
    return userId !== undefined && sessionId ? { userId, sessionId } : undefined;
  },
});
