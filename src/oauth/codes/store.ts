import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter } from "../../audit/recordEvent.ts";
import { clientId, sessionId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { bytea, nullable, text } from "../../database/sqlTypes.ts";
import { lockOwner, startedColumns, startParameters, startSession, toStarted } from "../../sessions/clients/store.ts";
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

/** What has ended the user's tokens since, has ended the code as well. */
const redeemCode = statement({
  name: "redeem-authorization-code",
  sql: `WITH ${lockOwner("(SELECT user_id FROM authorization_codes WHERE digest = :digest)")}, redeemed AS MATERIALIZED (
      UPDATE authorization_codes SET redeemed_at = now(), session_id = :sessionId FROM owner, client
      WHERE ${presented} AND user_id = owner.id AND user_epoch = token_epoch AND redeemed_at IS NULL AND expires_at > now()
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
