import { auditContext } from "../audit/auditRow.ts";
import { auditParameter, recordEvent } from "../audit/recordEvent.ts";
import { apiKeyId, userId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { arrayOf, boolean, bytea, integer, json, nullable, text, timestamptz, uuid } from "../database/sqlTypes.ts";
import { clockMarginSeconds } from "../revocations/revocations.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import { digestBytes } from "./format.ts";
import type { ApiKey, ApiKeyStore } from "./storeTypes.ts";

/** No token depends on the entry. It makes every instance read the key again, for which it has to be kept this long. */
const entryExpiresAt = `clock_timestamp() + make_interval(secs => ${clockMarginSeconds})`;

type StoredSecret = {
  lastFour: string;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  lastUsedNetwork: string | null;
};

const keyDetails = (from: string) => `jsonb_build_object('api_key_id', ${from}.id)`;

const selectedKey = `api_keys.id, api_keys.name, api_keys.scopes, api_keys.created_at AS "createdAt",
  api_keys.expires_at AS "expiresAt",
  (SELECT coalesce(json_agg(json_build_object(
      'lastFour', last_four, 'createdAt', secret.created_at,
      'expiresAt', CASE WHEN secret.expires_at IS NOT NULL THEN least(secret.expires_at, api_keys.expires_at) END,
      'lastUsedAt', last_used_at, 'lastUsedNetwork', last_used_network
    ) ORDER BY secret.expires_at IS NULL DESC, secret.created_at DESC), '[]')
    FROM api_key_secrets AS secret
    WHERE key_id = api_keys.id AND (secret.expires_at IS NULL OR secret.expires_at > now())) AS secrets`;
const keyColumns = {
  id: apiKeyId,
  name: text,
  scopes: arrayOf(text),
  createdAt: timestamptz,
  expiresAt: nullable(timestamptz),
  secrets: json<StoredSecret[]>(),
};

/**
 * Every statement that adds a secret locks the owner first: before a deletion, a block or a change of the password, which then see
 * the secret, or after it, when there is no owner to lock. The next statement of the transaction sees what others have committed.
 * The order of locks is user, key, secret.
 */
const lockOwner = statement({
  name: "lock-api-key-owner",
  sql: `SELECT FROM users
    WHERE id = :userId AND blocked_at IS NULL
      AND CASE WHEN :isToken THEN token_epoch ELSE password_epoch END <= :epoch
    FOR NO KEY UPDATE`,
  parameters: { userId, isToken: boolean, epoch: integer },
});

const countKeys = statement({
  name: "count-api-keys",
  sql: "SELECT count(*)::integer AS count FROM api_keys WHERE user_id = :userId",
  parameters: { userId },
  columns: { count: integer },
});

const insertKey = statement({
  name: "insert-api-key",
  sql: `WITH inserted AS (
      INSERT INTO api_keys (id, user_id, name, scopes, expires_at)
      SELECT :id, :userId, :name, :scopes, :expiresAt
      WHERE (SELECT count(*) FROM api_keys WHERE user_id = :userId) < :limit
      RETURNING id, created_at
    ), secret AS (
      INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT :digest, id, :lastFour FROM inserted
    ), audited AS (
      ${recordEvent({ event: "api-key-created", from: "inserted", subject: ":userId", details: keyDetails("inserted") })}
    )
    SELECT created_at AS "createdAt" FROM inserted`,
  parameters: {
    id: apiKeyId,
    userId,
    name: text,
    scopes: arrayOf(text),
    expiresAt: nullable(timestamptz),
    limit: integer,
    digest: bytea,
    lastFour: text,
    audit: auditParameter,
  },
  columns: { createdAt: timestamptz },
});

const listKeys = statement({
  name: "list-api-keys",
  sql: `SELECT ${selectedKey} FROM api_keys
    WHERE user_id = :userId AND (:after IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit`,
  parameters: { userId, after: nullable(uuid), limit: integer },
  columns: keyColumns,
});

const findKey = statement({
  name: "find-api-key",
  sql: `SELECT ${selectedKey} FROM api_keys WHERE id = :id AND user_id = :userId`,
  parameters: { id: apiKeyId, userId },
  columns: keyColumns,
});

const updateKey = statement({
  name: "update-api-key",
  sql: `WITH changed AS (
      UPDATE api_keys
      SET name = coalesce(:name, name), scopes = coalesce(:newScopes, scopes),
          expires_at = CASE WHEN :setsExpiry THEN :expiresAt ELSE expires_at END
      WHERE id = :id AND user_id = :userId AND scopes = :scopes
      RETURNING id
    ), audited AS (
      ${recordEvent({ event: "api-key-changed", from: "changed", subject: ":userId", details: keyDetails("changed") })}
    )
    ${revoke({ from: "changed", expiresAt: entryExpiresAt })}`,
  parameters: {
    id: apiKeyId,
    userId,
    scopes: arrayOf(text),
    name: nullable(text),
    newScopes: nullable(arrayOf(text)),
    setsExpiry: boolean,
    expiresAt: nullable(timestamptz),
    audit: auditParameter,
  },
  columns: revocationColumns,
});

/** The newest secret is the one without an end. */
const rotateKey = statement({
  name: "rotate-api-key",
  sql: `WITH rotated AS MATERIALIZED (
      SELECT id FROM api_keys
      WHERE id = :id AND user_id = :userId AND scopes = :scopes FOR NO KEY UPDATE
    ), ended AS (
      DELETE FROM api_key_secrets AS secret USING rotated
      WHERE key_id = rotated.id AND (secret.expires_at IS NOT NULL OR :overlapSeconds = 0)
    ), overlapping AS (
      UPDATE api_key_secrets AS secret
      SET expires_at = now() + make_interval(secs => :overlapSeconds)
      FROM rotated WHERE key_id = rotated.id AND secret.expires_at IS NULL AND :overlapSeconds > 0
    ), inserted AS (
      INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT :digest, id, :lastFour FROM rotated
    ), audited AS (
      ${recordEvent({ event: "api-key-rotated", from: "rotated", subject: ":userId", details: keyDetails("rotated") })}
    )
    ${revoke({ from: "rotated", expiresAt: entryExpiresAt })}`,
  parameters: {
    id: apiKeyId,
    userId,
    scopes: arrayOf(text),
    overlapSeconds: integer,
    digest: bytea,
    lastFour: text,
    audit: auditParameter,
  },
  columns: revocationColumns,
});

const deleteKey = statement({
  name: "delete-api-key",
  sql: `WITH deleted AS (DELETE FROM api_keys WHERE id = :id AND user_id = :userId RETURNING id), audited AS (
      ${recordEvent({ event: "api-key-deleted", from: "deleted", subject: ":userId", details: keyDetails("deleted") })}
    )
    ${revoke({ from: "deleted", expiresAt: entryExpiresAt })}`,
  parameters: { id: apiKeyId, userId, audit: auditParameter },
  columns: revocationColumns,
});

const deleteKeyByDigest = statement({
  name: "delete-api-key-by-digest",
  sql: `WITH deleted AS (
      DELETE FROM api_keys AS key USING api_key_secrets AS secret
      WHERE digest = :digest AND key.id = key_id
        AND (key.expires_at IS NULL OR key.expires_at > now())
        AND (secret.expires_at IS NULL OR secret.expires_at > now())
      RETURNING key.id, user_id
    ), revoked AS (
      ${revoke({ from: "deleted", expiresAt: entryExpiresAt })}
    ), audited AS (
      ${recordEvent({ event: "api-key-revoked", from: "deleted", subject: "deleted.user_id", details: keyDetails("deleted") })}
    )
    SELECT deleted.id, user_id AS "userId", revoked.* FROM deleted, revoked`,
  parameters: { digest: bytea, audit: auditParameter },
  columns: { id: apiKeyId, userId, ...revocationColumns },
});

const findOwner = statement({
  name: "find-api-key-owner",
  sql: "SELECT FROM users WHERE id = :userId",
  parameters: { userId },
});

export function apiKeyStore(database: Database): ApiKeyStore {
  return {
    async insert({ userId, ...owner }, key, { digest, lastFour }, limit) {
      // Without a lock, so that many attempts beyond the limit do not wait for each other.
      const { count } = await database.read((knex) => countKeys.one(knex, { userId }));
      if (count >= limit) return "too-many";
      return database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockOwner.count(transaction, { userId, ...owner })) === 0) return undefined;
          const values = { ...key, userId, limit, digest: digestBytes(digest), lastFour, audit: auditContext() };
          const inserted = await insertKey.first(transaction, values);
          if (!inserted) return "too-many" as const;
          const { createdAt } = inserted;
          const unused = { expiresAt: null, lastUsedAt: null, lastUsedNetwork: null };
          return { ...key, scopes: [...key.scopes], createdAt, secrets: [{ lastFour, createdAt, ...unused }] };
        }),
      );
    },

    list: async (userId, limit, after) =>
      (await database.read((knex) => listKeys.rows(knex, { userId, limit, after: after ?? null }))).map(toKey),

    async find(userId, id) {
      const row = await database.read((knex) => findKey.first(knex, { id, userId }));
      return row && toKey(row);
    },

    update: (key, { name, scopes, expiresAt }) =>
      database.write((knex) =>
        updateKey.first(knex, {
          ...key,
          name: name ?? null,
          newScopes: scopes ? [...scopes] : null,
          setsExpiry: expiresAt !== undefined,
          expiresAt: expiresAt ?? null,
          audit: auditContext(),
        }),
      ),

    rotate: (owner, key, { digest, lastFour }, overlapSeconds) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockOwner.count(transaction, owner)) === 0) return undefined;
          const values = { ...key, overlapSeconds, digest: digestBytes(digest), lastFour, audit: auditContext() };
          const revocation = await rotateKey.first(transaction, values);
          if (!revocation) return "changed" as const;
          return { key: toKey(await findKey.one(transaction, key)), revocation };
        }),
      ),

    delete: (userId, id) => database.write((knex) => deleteKey.first(knex, { id, userId, audit: auditContext() })),

    async deleteByDigest(digest) {
      const values = { digest: digestBytes(digest), audit: auditContext() };
      const row = await database.write((knex) => deleteKeyByDigest.first(knex, values));
      if (!row) return undefined;
      const { id, userId, ...revocation } = row;
      return { id, userId, revocation };
    },

    hasUser: async (userId) => (await database.read((knex) => findOwner.count(knex, { userId }))) > 0,
  };
}

function toKey({ secrets, ...key }: RowOf<typeof findKey>): ApiKey {
  const date = (text: string | null) => (text === null ? null : new Date(text));
  return {
    ...key,
    secrets: secrets.map(({ createdAt, expiresAt, lastUsedAt, ...secret }) => ({
      ...secret,
      createdAt: new Date(createdAt),
      expiresAt: date(expiresAt),
      lastUsedAt: date(lastUsedAt),
    })),
  };
}
