import { auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { clientId, grantId, sessionId, userId } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, boolean, bytea, integer, nullable, text, timestamptz, uuid } from "../../database/sqlTypes.ts";
import type { AuthorizationStore, NewCode, SeenAuthorization, SignedInUser } from "./storeTypes.ts";

/** The lifetime of a code (RFC 6749, section 4.1.2: 10 minutes at most). */
const codeSeconds = 60;

const findGrantedScopes = statement({
  name: "find-granted-scopes",
  sql: "SELECT scopes FROM grants WHERE user_id = :userId AND client_id = :clientId AND audience = :audience",
  parameters: { userId, clientId, audience: text },
  columns: { scopes: arrayOf(text) },
});

const seenParameters = {
  id: uuid,
  userId,
  clientId,
  clientVersion: integer,
  audience: text,
  scopes: arrayOf(text),
  expiresAt: timestamptz,
};

/** Locks the client until the rows that refer to it are inserted. Its version shows that it is unchanged since it was checked. */
const checkedClient = "SELECT id, version FROM clients WHERE id = :clientId AND version = :clientVersion FOR KEY SHARE";

/** For a row that was inserted when the request was seen before. */
const replaceSeen = `user_id = excluded.user_id, client_version = excluded.client_version, audience = excluded.audience,
          scopes = excluded.scopes`;

const see = statement({
  name: "see-authorization",
  sql: `WITH viewer AS MATERIALIZED (SELECT id FROM users WHERE id = :userId FOR KEY SHARE),
      client AS MATERIALIZED (${checkedClient})
    INSERT INTO authorizations (id, user_id, client_id, client_version, audience, scopes, expires_at)
    SELECT :id, viewer.id, client.id, client.version, :audience, :scopes, :expiresAt
    FROM viewer, client WHERE :expiresAt > now()
    ON CONFLICT (id) DO UPDATE SET ${replaceSeen}
      WHERE authorizations.decision IS NULL AND (:mayChangeUser OR authorizations.user_id = excluded.user_id)`,
  parameters: { ...seenParameters, mayChangeUser: boolean },
});

/** The user, unless the credentials that they decide with were revoked. What ends the tokens of the user ends the code as well. */
export const owner = `SELECT id FROM users
  WHERE id = :userId AND token_epoch = :epoch AND blocked_at IS NULL
    AND (:decidingSessionId IS NULL
         OR EXISTS (SELECT FROM sessions WHERE sessions.id = :decidingSessionId AND user_id = users.id AND ended_at IS NULL))
  FOR KEY SHARE`;
export const ownerParameters = { userId, epoch: integer, decidingSessionId: nullable(sessionId) };

/** The decision of a user about what they have seen, unless the client has changed since. */
const decide = (
  decision: "allowed" | "denied",
  condition = "true",
) => `owner AS MATERIALIZED (${owner}), client AS MATERIALIZED (
    SELECT clients.id FROM clients JOIN authorizations AS seen ON client_id = clients.id AND client_version = version
    WHERE seen.id = :id FOR KEY SHARE OF clients
  ), decided AS (
    UPDATE authorizations SET decision = '${decision}' FROM owner, client
    WHERE authorizations.id = :id AND user_id = owner.id AND client_id = client.id AND decision IS NULL AND expires_at > now()
      AND ${condition}
    RETURNING authorizations.*
  )`;

const decisionDetails = `jsonb_build_object('client_id', decided.client_id, 'audience', decided.audience,
  'scope', array_to_string(decided.scopes, ' '))`;

const codeParameters = {
  grantId,
  digest: bytea,
  redirectUri: text,
  codeChallenge: text,
  nonce: nullable(text),
  authenticatedAt: timestamptz,
  dpopJkt: nullable(text),
  codeSeconds: integer,
  audit: auditParameter,
};

/**
 * Adds what a user allows to the grant of the client, which a second consent extends.
 * @param from the CTE with the allowed request
 * @param user SQL of the user's id
 */
export const addToGrant = (from: string, user = "user_id"): string =>
  `INSERT INTO grants (id, user_id, client_id, audience, scopes)
    SELECT :grantId, ${user}, client_id, audience, scopes FROM ${from}
    ON CONFLICT (user_id, client_id, audience) DO UPDATE
      SET scopes = ARRAY(SELECT DISTINCT unnest(grants.scopes || excluded.scopes) ORDER BY 1), updated_at = now()
    RETURNING id`;

/** Ends a statement whose CTE `decided` has the allowed request. */
const issueCode = `granted AS (
    ${addToGrant("decided")}
  ), audited AS (
    ${recordEvent({ event: "authorization-allowed", from: "decided", subject: "decided.user_id", details: decisionDetails })}
  )
  INSERT INTO authorization_codes (digest, client_id, user_id, user_epoch, grant_id, redirect_uri, code_challenge, nonce, audience,
    scopes, authenticated_at, deciding_session_id, dpop_jkt, expires_at)
  SELECT :digest, client_id, user_id, :epoch, granted.id, :redirectUri, :codeChallenge, :nonce, audience,
    scopes, :authenticatedAt, :decidingSessionId, :dpopJkt, now() + make_interval(secs => :codeSeconds)
  FROM decided, granted
  RETURNING audience, scopes`;

const accessColumns = { audience: text, scopes: arrayOf(text) };

const allow = statement({
  name: "allow-authorization",
  sql: `WITH ${decide("allowed", "(:limits IS NULL OR authorizations.scopes <@ :limits)")}, ${issueCode}`,
  parameters: { id: uuid, ...ownerParameters, limits: nullable(arrayOf(text)), ...codeParameters },
  columns: accessColumns,
});

/**
 * Another user may have seen it before, in the same browser. A concurrent withdrawal of the grant waits for this lock, or comes first:
 * then the user has to be asked. The grant is locked after the user and the client, as everywhere.
 */
const allowUnseen = statement({
  name: "allow-unseen-authorization",
  sql: `WITH owner AS MATERIALIZED (${owner}), client AS MATERIALIZED (${checkedClient}), allowed_before AS MATERIALIZED (
      SELECT grants.id FROM owner, client, grants
      WHERE user_id = owner.id AND client_id = client.id AND audience = :audience AND scopes @> :scopes
      FOR NO KEY UPDATE OF grants
    ), decided AS (
      INSERT INTO authorizations (id, user_id, client_id, client_version, audience, scopes, decision, expires_at)
      SELECT :id, owner.id, client.id, client.version, :audience, :scopes, 'allowed', :expiresAt
      FROM owner, client WHERE :expiresAt > now() AND (:isFirstParty OR EXISTS (SELECT FROM allowed_before))
      ON CONFLICT (id) DO UPDATE SET ${replaceSeen}, decision = excluded.decision WHERE authorizations.decision IS NULL
      RETURNING *
    ), ${issueCode}`,
  parameters: { ...seenParameters, ...ownerParameters, isFirstParty: boolean, ...codeParameters },
  columns: accessColumns,
});

const deny = statement({
  name: "deny-authorization",
  sql: `WITH ${decide("denied")}, audited AS (
      ${recordEvent({ event: "authorization-denied", from: "decided", subject: "decided.user_id", details: decisionDetails })}
    )
    SELECT audience, scopes FROM decided`,
  parameters: { id: uuid, ...ownerParameters, audit: auditParameter },
  columns: accessColumns,
});

const findAuthenticationTime = statement({
  name: "find-authentication-time",
  sql: `SELECT coalesce(authenticated_at, created_at) AS "authenticatedAt" FROM sessions WHERE id = :id`,
  parameters: { id: sessionId },
  columns: { authenticatedAt: timestamptz },
});

const findDecision = statement({
  name: "find-decision",
  sql: `SELECT FROM authorizations
    WHERE id = :id AND user_id = :userId AND decision = :decision
      AND (decision = 'denied' OR EXISTS (
        SELECT FROM authorization_codes
        WHERE digest = :digest AND redeemed_at IS NULL AND authorization_codes.expires_at > now()))`,
  parameters: { id: uuid, userId, decision: text, digest: bytea },
});

export function authorizationStore(database: Database): AuthorizationStore {
  const ownerValues = ({ userId, epoch, decidingSessionId }: SignedInUser) => ({
    userId,
    epoch,
    decidingSessionId: decidingSessionId ?? null,
  });
  const codeValues = ({ nonce, dpopJkt, ...code }: NewCode, { authenticatedAt }: SignedInUser) => ({
    ...code,
    nonce: nonce ?? null,
    dpopJkt: dpopJkt ?? null,
    authenticatedAt,
    codeSeconds,
  });
  const seenValues = ({ access, ...seen }: SeenAuthorization) => ({
    ...seen,
    audience: access.audience,
    scopes: [...access.scopes],
  });

  return {
    async findGrantedScopes(userId, clientId, audience) {
      const row = await database.read((knex) => findGrantedScopes.first(knex, { userId, clientId, audience }));
      return row?.scopes;
    },

    see: async (seen, mayChangeUser) =>
      (await database.write((knex) => see.count(knex, { ...seenValues(seen), mayChangeUser }))) > 0,

    async allow(id, user, code) {
      const limits = user.limits ? [...user.limits] : null;
      const values = { id, limits, ...ownerValues(user), ...codeValues(code, user), audit: auditContext() };
      return await database.write((knex) => allow.first(knex, values));
    },

    async allowUnseen({ reason, ...seen }, user, code) {
      const decision = { ...seenValues(seen), ...ownerValues(user), ...codeValues(code, user) };
      const values = { ...decision, isFirstParty: reason === "first-party", audit: auditContext({ reason }) };
      return await database.write((knex) => allowUnseen.first(knex, values));
    },

    async deny(id, user) {
      const values = { id, ...ownerValues(user), audit: auditContext() };
      return await database.write((knex) => deny.first(knex, values));
    },

    async findAuthenticationTime(id) {
      const row = await database.read((knex) => findAuthenticationTime.first(knex, { id }));
      return row?.authenticatedAt;
    },

    async hasDecided({ decision, ...decided }) {
      const values = { ...decided, decision: decision === "allow" ? "allowed" : "denied" };
      return (await database.read((knex) => findDecision.count(knex, values))) > 0;
    },
  };
}
