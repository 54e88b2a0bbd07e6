import { userId, username } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, boolean, integer, nullable, text } from "../../database/sqlTypes.ts";
import { userId as toUserId } from "../../identifiers.ts";
import { maxEpoch } from "../../revocations/revocations.ts";
import type { TransferStore } from "./storeTypes.ts";

const pageSize = 1000;
const identified = { id: userId, username };

const listRoleNames = statement({
  name: "list-role-names",
  sql: "SELECT name FROM roles",
  columns: { name: text },
});

/** The first of two rows with one name is inserted. Roles are given by user id, so that it does not get those of the second. */
const insertUsers = statement({
  name: "insert-users",
  sql: `WITH given AS (
      SELECT * FROM unnest(:ids, :usernames, :passwordHashes, :createdAt, :blocked) WITH ORDINALITY
        AS given (id, username, password_hash, created_at, is_blocked, position)
    ), inserted AS (
      INSERT INTO users (id, username, password_hash, created_at, blocked_at)
      SELECT id, username, password_hash, coalesce(created_at::timestamptz, now()), CASE WHEN is_blocked THEN now() END
      FROM given WHERE NOT EXISTS (
        SELECT FROM revocations
        WHERE is_unique AND subject = given.id::text AND minimum_epoch = :maxEpoch AND expires_at > now())
      ORDER BY position
      ON CONFLICT DO NOTHING
      RETURNING id, username
    ), granted AS (
      INSERT INTO user_roles (user_id, role)
      SELECT inserted.id, role FROM unnest(:roleOwners, :roles) AS wanted (id, role) JOIN inserted USING (id)
    )
    SELECT id, username FROM inserted`,
  parameters: {
    ids: arrayOf(userId),
    usernames: arrayOf(username),
    passwordHashes: arrayOf(text),
    createdAt: arrayOf(nullable(text)),
    blocked: arrayOf(boolean),
    roleOwners: arrayOf(userId),
    roles: arrayOf(text),
    maxEpoch: integer,
  },
  columns: identified,
});

const findUsers = statement({
  name: "find-users-by-name-or-id",
  sql: "SELECT id, username FROM users WHERE username = ANY(:usernames) OR id = ANY(:ids)",
  parameters: { usernames: arrayOf(username), ids: arrayOf(userId) },
  columns: identified,
});

const findEndedIds = statement({
  name: "find-ended-user-ids",
  sql: `SELECT subject FROM revocations
    WHERE is_unique AND subject = ANY(:ids) AND minimum_epoch = :maxEpoch AND expires_at > now()`,
  parameters: { ids: arrayOf(text), maxEpoch: integer },
  columns: { subject: text },
});

/** With microseconds, so that no time changes. */
const readUsers = statement({
  name: "read-users-to-export",
  sql: `SELECT id, username, password_hash,
      to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.US"Z"') AS created_at,
      blocked_at IS NOT NULL AS blocked,
      ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role COLLATE "C") AS roles
    FROM users WHERE id > :after ORDER BY id LIMIT ${pageSize}`,
  parameters: { after: userId },
  columns: {
    id: userId,
    username,
    password_hash: text,
    created_at: text,
    blocked: boolean,
    roles: arrayOf(text),
  },
});

const beforeAllIds = toUserId("00000000-0000-0000-0000-000000000000");

export const transferStore = (database: Database): TransferStore => ({
  roleNames: async () => (await database.read((knex) => listRoleNames.rows(knex))).map(({ name }) => name),
  insert: (rows) =>
    database.write((knex) =>
      insertUsers.rows(knex, {
        ids: rows.map(({ id }) => id),
        usernames: rows.map(({ username }) => username),
        passwordHashes: rows.map(({ hash }) => hash.stored),
        createdAt: rows.map(({ createdAt }) => createdAt ?? null),
        blocked: rows.map(({ isBlocked }) => isBlocked),
        roleOwners: rows.flatMap(({ id, roles }) => roles.map(() => id)),
        roles: rows.flatMap(({ roles }) => roles),
        maxEpoch,
      }),
    ),
  findAny: (rows) =>
    database.read((knex) =>
      findUsers.rows(knex, {
        usernames: rows.map(({ username }) => username),
        ids: rows.flatMap(({ id }) => id ?? []),
      }),
    ),
  async findEndedIds(rows) {
    const ids = rows.flatMap(({ id }) => id ?? []);
    const ended = await database.read((knex) => findEndedIds.rows(knex, { ids, maxEpoch }));
    return ended.map(({ subject }) => subject);
  },
  readPage: (after = beforeAllIds) => database.read((knex) => readUsers.rows(knex, { after })),
});
