import type { Knex } from "knex";
import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { apiKeyId, network, sessionId, userId, username } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { violates } from "../database/errors.ts";
import { statement } from "../database/sql.ts";
import { arrayOf, boolean, integer, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import type { ApiKeyId, UserId } from "../identifiers.ts";
import { Problem } from "../problems/problems.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import { maxKnownNetworks } from "../throttling/limits.ts";
import type { UserStore } from "./storeTypes.ts";

const insertUser = statement({
  name: "insert-user",
  sql: `WITH inserted AS (
      INSERT INTO users (id, username, password_hash) VALUES (:id, :username, :passwordHash)
      RETURNING id, username, created_at, version
    ), remembered AS (
      INSERT INTO familiar_networks (user_id, network, key) SELECT id, :network, :key FROM inserted
    ), audited AS (
      ${recordEvent({ event: "user-registered", from: "inserted", subjectName: "username" })}
    )
    SELECT id, username, created_at AS "createdAt", version FROM inserted`,
  parameters: { id: userId, username, passwordHash: text, network, key: text, audit: auditParameter },
  columns: { id: userId, username, createdAt: timestamptz, version: integer },
});

const findUser = statement({
  name: "find-user",
  sql: `SELECT id, username, created_at AS "createdAt", blocked_at IS NOT NULL AS "isBlocked", version,
      ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role) AS roles
    FROM users WHERE id = :id`,
  parameters: { id: userId },
  columns: {
    id: userId,
    username,
    createdAt: timestamptz,
    isBlocked: boolean,
    version: integer,
    roles: arrayOf(text),
  },
});

const findAccount = statement({
  name: "find-account",
  sql: `SELECT id, username, password_hash AS "passwordHash", token_epoch AS "tokenEpoch"
    FROM find_account(:username, :id)`,
  parameters: { username: nullable(username), id: nullable(userId) },
  columns: { id: userId, username, passwordHash: text, tokenEpoch: integer },
});

/**
 * Locks the user first, as a deletion does, so that the two cannot deadlock. FOR SHARE also waits for a password change, after
 * which the session is no longer live. Then it locks the session: if a theft was detected meanwhile, it is no longer live either.
 */
const rememberNetwork = statement({
  name: "remember-network",
  sql: `WITH owner AS MATERIALIZED (
      SELECT id, token_epoch FROM users WHERE id = :userId FOR SHARE
    ), live AS MATERIALIZED (
      SELECT sessions.id FROM sessions JOIN owner ON user_id = owner.id AND user_epoch = token_epoch
      WHERE sessions.id = :sessionId AND ended_at IS NULL FOR SHARE OF sessions
    ), remembered AS (
      INSERT INTO familiar_networks (user_id, network, key, by_password)
      SELECT owner.id, :network, :key, false FROM owner, live
      WHERE ${maxKnownNetworks} > (
        SELECT count(*) FROM familiar_networks WHERE user_id = :userId AND network <> :network AND by_password)
      ON CONFLICT (user_id, network) DO UPDATE SET last_seen_at = now(), key = excluded.key
      RETURNING user_id
    )
    DELETE FROM familiar_networks AS known USING remembered
    WHERE known.user_id = remembered.user_id AND NOT by_password AND network IN (
      SELECT network FROM familiar_networks WHERE user_id = :userId AND network <> :network
      ORDER BY by_password DESC, last_seen_at DESC OFFSET ${maxKnownNetworks - 1})`,
  parameters: { userId, sessionId, network, key: text },
});

/** Sets the hash and revokes all tokens. @param condition a part of WHERE */
export const replacePassword = (condition = "true"): string => `WITH changed AS (
      UPDATE users
      SET password_hash = :passwordHash, token_epoch = token_epoch + 1, password_epoch = token_epoch + 1
      WHERE id = :id AND ${condition}
      RETURNING id, token_epoch
    ), audited AS (
      ${recordEvent({
        event: "password-changed",
        from: "changed",
        details: "jsonb_build_object('password_epoch', token_epoch::text)",
      })}
    )
    ${revoke({ from: "changed", minimumEpoch: "token_epoch" })}`;

const changePassword = statement({
  name: "change-password",
  sql: replacePassword("password_epoch <= :epoch"),
  parameters: { id: userId, epoch: integer, passwordHash: text, audit: auditParameter },
  columns: revocationColumns,
});

/** Without a network, forgets all. */
export const forgetOtherNetworks = statement({
  name: "forget-other-networks",
  sql: "DELETE FROM familiar_networks WHERE user_id = :id AND network <> coalesce(:network, '')",
  parameters: { id: userId, network: nullable(network) },
});

const deleteApiKeys = statement({
  name: "delete-api-keys-of-user",
  sql: `WITH deleted AS (DELETE FROM api_keys WHERE user_id = :id RETURNING id), audited AS (
      ${recordEvent({ event: "api-key-deleted", from: "deleted", subject: ":id", details: "jsonb_build_object('api_key_id', deleted.id)" })}
    )
    SELECT id FROM deleted`,
  parameters: { id: userId, audit: auditParameter },
  columns: { id: apiKeyId },
});

/** @returns the ids of the deleted keys */
export async function deleteKeysOf(transaction: Knex.Transaction, id: UserId, reason: string): Promise<ApiKeyId[]> {
  const deleted = await deleteApiKeys.rows(transaction, { id, audit: auditContext({ reason }) });
  return deleted.map((key) => key.id);
}

const findEpoch = statement({
  name: "find-epoch",
  sql: `SELECT token_epoch AS epoch FROM users WHERE id = :id AND password_epoch <= :epoch`,
  parameters: { id: userId, epoch: integer },
  columns: { epoch: integer },
});

const raiseEpoch = statement({
  name: "raise-epoch",
  sql: `WITH changed AS (
      UPDATE users SET token_epoch = token_epoch + 1 WHERE id = :id AND password_epoch <= :epoch
      RETURNING id, token_epoch
    ), audited AS (${recordEvent({ event: "sessions-ended", from: "changed" })})
    ${revoke({ from: "changed", minimumEpoch: "token_epoch" })}`,
  parameters: { id: userId, epoch: integer, audit: auditParameter },
  columns: revocationColumns,
});

const raiseEpochAbove = statement({
  name: "end-epoch",
  sql: `WITH changed AS (
      UPDATE users SET token_epoch = greatest(token_epoch, :epoch + 1) WHERE id = :id RETURNING id, token_epoch
    ), audited AS (${recordEvent({ event: "sessions-ended", from: "changed" })})
    ${revoke({ from: "changed", minimumEpoch: "token_epoch" })}`,
  parameters: { id: userId, epoch: integer, audit: auditParameter },
  columns: revocationColumns,
});

const upgradeHash = statement({
  name: "upgrade-hash",
  sql: `UPDATE users SET password_hash = :upgraded WHERE id = :id AND password_hash = :stored`,
  parameters: { id: userId, stored: text, upgraded: text },
});

const deleteUser = statement({
  name: "delete-user",
  sql: `WITH deleted AS (DELETE FROM users WHERE id = :id AND password_epoch <= :epoch RETURNING id),
    audited AS (${recordEvent({ event: "user-deleted", from: "deleted" })})
    ${revoke({ from: "deleted" })}`,
  parameters: { id: userId, epoch: integer, audit: auditParameter },
  columns: revocationColumns,
});

/** The trigger `require_administrator` has rejected a change. */
export const lastAdministrator = () =>
  new Problem("last-administrator", { detail: "Give the role administrator to another user first." });

export function userStore(database: Database): UserStore {
  return {
    async insert(user) {
      try {
        const inserted = await database.write((knex) => insertUser.one(knex, { ...user, audit: auditContext() }));
        return { ...inserted, isBlocked: false, roles: [] };
      } catch (error) {
        // The constraint decides which one of several concurrent registrations gets the name.
        throw violates(error, "users_username_key") ? new Problem("username-taken") : error;
      }
    },
    find: (id) => database.read((knex) => findUser.first(knex, { id })),
    findAccount(reference) {
      const values = { username: null, id: null, ...reference };
      return database.read((knex) => findAccount.first(knex, values));
    },
    async rememberNetwork(refresh) {
      await database.write((knex) => rememberNetwork.count(knex, refresh));
    },
    changePassword: ({ network, keepApiKeys, ...change }) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          const revocation = await changePassword.first(transaction, { ...change, audit: auditContext() });
          if (!revocation) return undefined;
          // Separate statements see the networks and keys that were added while changePassword waited for the user's row.
          await forgetOtherNetworks.count(transaction, { id: change.id, network });
          const deletedApiKeys = keepApiKeys ? [] : await deleteKeysOf(transaction, change.id, "password-changed");
          return { revocation, deletedApiKeys };
        }),
      ),
    currentEpoch: async (id, epoch) => (await database.read((knex) => findEpoch.first(knex, { id, epoch })))?.epoch,
    raiseEpoch: (id, epoch) => database.write((knex) => raiseEpoch.first(knex, { id, epoch, audit: auditContext() })),
    raiseEpochAbove: (id, epoch) =>
      database.write((knex) => raiseEpochAbove.first(knex, { id, epoch, audit: auditContext() })),
    async upgradeHash(id, stored, upgraded) {
      await database.write((knex) => upgradeHash.count(knex, { id, stored, upgraded }));
    },
    async delete(id, epoch) {
      try {
        return await database.write((knex) => deleteUser.first(knex, { id, epoch, audit: auditContext() }));
      } catch (error) {
        throw violates(error, "last_administrator") ? lastAdministrator() : error;
      }
    },
  };
}
