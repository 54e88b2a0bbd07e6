import type { Knex } from "knex";
import { type AuditContext, auditContext } from "../../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../../audit/recordEvent.ts";
import { userId, username } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { violates } from "../../database/errors.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, boolean, integer, json, nullable, text, timestamptz } from "../../database/sqlTypes.ts";
import type { UserId } from "../../identifiers.ts";
import { Problem } from "../../problems/problems.ts";
import { revocationColumns, revoke } from "../../revocations/revoke.ts";
import { deleteKeysOf, forgetOtherNetworks, lastAdministrator, replacePassword } from "../store.ts";
import {
  type AdministeredUser,
  type AdministrationStore,
  type LockedChange,
  type Role,
  UnknownRole,
} from "./storeTypes.ts";

const selectedUser = `id, username, created_at AS "createdAt", blocked_at IS NOT NULL AS "isBlocked", version,
    ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role) AS roles`;
const userColumns = {
  id: userId,
  username,
  createdAt: timestamptz,
  isBlocked: boolean,
  version: integer,
  roles: arrayOf(text),
};

/** The order is that of users_username_prefix_idx, whatever the collation of the database. */
const selectPage = (condition: string) => `SELECT ${selectedUser} FROM users
    WHERE (:username IS NULL OR username = :username)
      AND (:pattern IS NULL OR username LIKE :pattern)
      AND (:after IS NULL OR username ~>~ :after)
      AND (:isBlocked IS NULL OR (blocked_at IS NOT NULL) = :isBlocked)
      ${condition}
    ORDER BY username USING ~<~ LIMIT :limit`;
const pageParameters = {
  username: nullable(username),
  pattern: nullable(text),
  after: nullable(text),
  isBlocked: nullable(boolean),
  limit: integer,
};

// Both are planned anew for each run, because each filter has its own index.
const listUsers = statement({
  name: "list-users",
  sql: selectPage(""),
  parameters: pageParameters,
  columns: userColumns,
  replan: true,
});

/** A statement of its own: with `:role IS NULL OR EXISTS …`, Postgres would look for the role of every user. */
const listUsersWithRole = statement({
  name: "list-users-with-role",
  sql: selectPage("AND EXISTS (SELECT FROM user_roles WHERE user_id = users.id AND role = :role)"),
  parameters: { ...pageParameters, role: text },
  columns: userColumns,
  replan: true,
});

const findUser = statement({
  name: "find-administered-user",
  sql: `SELECT ${selectedUser}, (
      SELECT coalesce(json_agg(json_build_object('name', name, 'scopes', scopes)), '[]')
      FROM user_roles JOIN roles ON name = role WHERE user_id = users.id
    ) AS "assignedRoles"
    FROM users WHERE id = :id`,
  parameters: { id: userId },
  columns: { ...userColumns, assignedRoles: json<Role[]>() },
});

const findRoles = statement({
  name: "find-roles-by-name",
  sql: "SELECT name, scopes FROM roles WHERE name = ANY(:names)",
  parameters: { names: arrayOf(text) },
  columns: { name: text, scopes: arrayOf(text) },
});

const createUser = statement({
  name: "create-user",
  sql: `WITH inserted AS (
      INSERT INTO users (id, username, password_hash) VALUES (:id, :username, :passwordHash)
      RETURNING id, username, created_at, version
    ), assigned AS (
      INSERT INTO user_roles (user_id, role) SELECT id, unnest(:roles) FROM inserted
    ), audited AS (
      ${recordEvent({ event: "user-created", from: "inserted", subjectName: "username" })}
    )
    SELECT id, username, created_at AS "createdAt", version FROM inserted`,
  parameters: { id: userId, username, passwordHash: text, roles: arrayOf(text), audit: auditParameter },
  columns: { id: userId, username, createdAt: timestamptz, version: integer },
});

/** Later statements of the transaction see what was committed while this one waited. */
const lockUser = statement({
  name: "lock-administered-user",
  sql: "SELECT FROM users WHERE id = :id FOR NO KEY UPDATE",
  parameters: { id: userId },
});

/** The password epoch makes sign-ins fail that have verified the password already. */
const blockUser = statement({
  name: "block-user",
  sql: `WITH changed AS (
      UPDATE users
      SET blocked_at = now(), token_epoch = token_epoch + 1, password_epoch = token_epoch + 1, version = version + 1
      WHERE id = :id AND blocked_at IS NULL
      RETURNING id, token_epoch
    ), audited AS (
      ${recordEvent({ event: "user-blocked", from: "changed" })}
    )
    ${revoke({ from: "changed", minimumEpoch: "token_epoch" })}`,
  parameters: { id: userId, audit: auditParameter },
  columns: revocationColumns,
});

const unblockUser = statement({
  name: "unblock-user",
  sql: `WITH changed AS (
      UPDATE users SET blocked_at = NULL, version = version + 1 WHERE id = :id AND blocked_at IS NOT NULL RETURNING id
    )
    ${recordEvent({ event: "user-unblocked", from: "changed" })}`,
  parameters: { id: userId, audit: auditParameter },
});

/** A token with scopes names the version of the rights that it was issued for. If no role is removed, it stays valid. */
const setRoles = statement({
  name: "set-roles",
  sql: `WITH removed AS (
      DELETE FROM user_roles WHERE user_id = :id AND role <> ALL(:roles) RETURNING role
    ), added AS (
      INSERT INTO user_roles (user_id, role) SELECT :id, unnest(:roles) ON CONFLICT DO NOTHING
    ), changed AS (
      UPDATE users SET version = version + 1 WHERE id = :id RETURNING id, version
    ), audited AS (
      ${recordEvent({ event: "roles-changed", from: "changed" })}
    )
    ${revoke({
      from: "changed",
      subject: "'rights:' || id",
      minimumEpoch: "CASE WHEN EXISTS (SELECT FROM removed) THEN version ELSE 0 END",
    })}`,
  parameters: { id: userId, roles: arrayOf(text), audit: auditParameter },
  columns: revocationColumns,
});

const setPassword = statement({
  name: "set-password",
  sql: replacePassword(),
  parameters: { id: userId, passwordHash: text, audit: auditParameter },
  columns: revocationColumns,
});

const signOut = statement({
  name: "sign-out-user",
  sql: `WITH changed AS (UPDATE users SET token_epoch = token_epoch + 1 WHERE id = :id RETURNING id, token_epoch),
    audited AS (${recordEvent({ event: "sessions-ended", from: "changed" })})
    ${revoke({ from: "changed", minimumEpoch: "token_epoch" })}`,
  parameters: { id: userId, audit: auditParameter },
  columns: revocationColumns,
});

const deleteUser = statement({
  name: "delete-administered-user",
  sql: `WITH deleted AS (DELETE FROM users WHERE id = :id RETURNING id),
    audited AS (${recordEvent({ event: "user-deleted", from: "deleted" })})
    ${revoke({ from: "deleted" })}`,
  parameters: { id: userId, audit: auditParameter },
  columns: revocationColumns,
});

export function administrationStore(database: Database): AdministrationStore {
  /** Locks the user, decides, and makes the change, in one transaction. */
  const changeLocked = async <Result>(
    { id, decide, reason }: LockedChange,
    change: (transaction: Knex.Transaction, values: ChangeValues, user: AdministeredUser) => Promise<Result>,
  ): Promise<Result | undefined> => {
    try {
      return await database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockUser.count(transaction, { id })) === 0) return undefined;
          const user = await findUser.one(transaction, { id });
          decide(user);
          return change(transaction, { id, audit: auditContext({ reason }) }, user);
        }),
      );
    } catch (error) {
      throw violates(error, "last_administrator") ? lastAdministrator() : unknownRole(error);
    }
  };

  return {
    list(filter, limit, after) {
      const { username = null, usernamePrefix, isBlocked = null, role } = filter;
      const pattern = usernamePrefix === undefined ? null : `${usernamePrefix.replace(/[\\%_]/g, "\\$&")}%`;
      const values = { username, pattern, isBlocked, limit, after: after ?? null };
      return database.read((knex) =>
        role === undefined ? listUsers.rows(knex, values) : listUsersWithRole.rows(knex, { ...values, role }),
      );
    },
    find: (id) => database.read((knex) => findUser.first(knex, { id })),
    findRoles: (names) => database.read((knex) => findRoles.rows(knex, { names })),

    async create({ reason, ...user }) {
      const roles = user.roles.toSorted();
      try {
        const audit = auditContext({ reason, roles: roles.join(" ") });
        return {
          ...(await database.write((knex) => createUser.one(knex, { ...user, audit }))),
          isBlocked: false,
          roles,
        };
      } catch (error) {
        throw violates(error, "users_username_key") ? new Problem("username-taken") : unknownRole(error);
      }
    },

    change: ({ isBlocked, roles, ...locked }) =>
      changeLocked(locked, async (transaction, values, before) => {
        const blocked = isBlocked === true ? await blockUser.first(transaction, values) : undefined;
        const deletedApiKeys = blocked ? await deleteKeysOf(transaction, locked.id, "user-blocked") : [];
        if (isBlocked === false) await unblockUser.count(transaction, values);
        const changed =
          roles && isOtherSet(roles, before.roles)
            ? await setRoles.first(transaction, {
                ...values,
                roles,
                audit: auditContext({ reason: locked.reason, roles: roles.toSorted().join(" ") }),
              })
            : undefined;
        const after = await findUser.one(transaction, { id: locked.id });
        const revocations = [blocked, changed].filter((entry) => entry !== undefined);
        return { before, after, revocations, deletedApiKeys };
      }),
    setPassword: ({ passwordHash, keepApiKeys, ...locked }) =>
      changeLocked(locked, async (transaction, values) => {
        const revocation = await setPassword.one(transaction, { ...values, passwordHash });
        await forgetOtherNetworks.count(transaction, { id: locked.id, network: null });
        const deletedApiKeys = keepApiKeys ? [] : await deleteKeysOf(transaction, locked.id, "password-changed");
        return { revocation, deletedApiKeys };
      }),
    signOut: (locked) => changeLocked(locked, (transaction, values) => signOut.one(transaction, values)),
    delete: (locked) => changeLocked(locked, (transaction, values) => deleteUser.one(transaction, values)),
  };
}

type ChangeValues = { id: UserId; audit: AuditContext };

const isOtherSet = (a: readonly string[], b: readonly string[]): boolean =>
  new Set(a).size !== b.length || b.some((item) => !a.includes(item));

const unknownRole = (error: unknown): unknown => (violates(error, "user_roles_role_fkey") ? new UnknownRole() : error);
