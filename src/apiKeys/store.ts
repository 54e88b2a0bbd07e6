import { apiKeyId, userId, username } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { arrayOf, boolean, bytea, integer, json, nullable, text, timestamptz, uuid } from "../database/sqlTypes.ts";
import { clockMarginSeconds } from "../revocations/revocations.ts";
import { revocationColumns, revoke } from "../revocations/revoke.ts";
import type { ApiKeyDigest } from "./format.ts";
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

const insertKey = statement({
  name: "insert-api-key",
  sql: `WITH inserted AS (
      INSERT INTO api_keys (id, user_id, name, scopes, expires_at)
      SELECT :id, :userId, :name, :scopes, :expiresAt
      WHERE (SELECT count(*) FROM api_keys WHERE user_id = :userId) < :limit
      RETURNING id, created_at
    ), secret AS (
      INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT :digest, id, :lastFour FROM inserted
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
  },
  columns: revocationColumns,
});

/** The newest secret is the one without an end. */
const rotateKey = statement({
  name: "rotate-api-key",
  sql: `WITH rotated AS MATERIALIZED (
      SELECT id, expires_at FROM api_keys
      WHERE id = :id AND user_id = :userId AND scopes = :scopes FOR NO KEY UPDATE
    ), ended AS (
      DELETE FROM api_key_secrets AS secret USING rotated
      WHERE key_id = rotated.id AND (secret.expires_at IS NOT NULL OR :overlapSeconds = 0)
    ), overlapping AS (
      UPDATE api_key_secrets AS secret
      SET expires_at = least(now() + make_interval(secs => :overlapSeconds), rotated.expires_at)
      FROM rotated WHERE key_id = rotated.id AND secret.expires_at IS NULL AND :overlapSeconds > 0
    ), inserted AS (
      INSERT INTO api_key_secrets (digest, key_id, last_four) SELECT :digest, id, :lastFour FROM rotated
    )
    ${revoke({ from: "rotated", expiresAt: entryExpiresAt })}`,
  parameters: {
    id: apiKeyId,
    userId,
    scopes: arrayOf(text),
    overlapSeconds: integer,
    digest: bytea,
    lastFour: text,
  },
  columns: revocationColumns,
});

const deleteKey = statement({
  name: "delete-api-key",
  sql: `WITH deleted AS (DELETE FROM api_keys WHERE id = :id AND user_id = :userId RETURNING id)
    ${revoke({ from: "deleted", expiresAt: entryExpiresAt })}`,
  parameters: { id: apiKeyId, userId },
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
    )
    SELECT deleted.id, user_id AS "userId", revoked.* FROM deleted, revoked`,
  parameters: { digest: bytea },
  columns: { id: apiKeyId, userId, ...revocationColumns },
});

const findKeyByDigest = statement({
  name: "find-api-key-by-digest",
  sql: `SELECT key.id, user_id AS "userId", username, token_epoch AS epoch, blocked_at IS NOT NULL AS "isBlocked", scopes,
      key.expires_at AS "expiresAt", secret.expires_at AS "secretExpiresAt"
    FROM api_key_secrets AS secret JOIN api_keys AS key ON key.id = key_id JOIN users ON users.id = user_id
    WHERE digest = :digest`,
  parameters: { digest: bytea },
  columns: {
    id: apiKeyId,
    userId,
    username,
    epoch: integer,
    isBlocked: boolean,
    scopes: arrayOf(text),
    expiresAt: nullable(timestamptz),
    secretExpiresAt: nullable(timestamptz),
  },
});

/** A locked secret is being rotated or recorded by another instance. Its use is recorded a minute later. */
const recordUses = statement({
  name: "record-api-key-uses",
  sql: `UPDATE api_key_secrets AS secret SET last_used_at = used_at, last_used_network = used_network
    FROM (
      SELECT digest, used_at, used_network
      FROM api_key_secrets JOIN unnest(:digests, :times, :networks) AS uses (used, used_at, used_network) ON digest = used
      WHERE last_used_at IS NULL OR last_used_at < used_at
      FOR NO KEY UPDATE OF api_key_secrets SKIP LOCKED
    ) AS uses
    WHERE secret.digest = uses.digest`,
  parameters: { digests: arrayOf(bytea), times: arrayOf(timestamptz), networks: arrayOf(nullable(text)) },
});

const findUnregisteredScopes = statement({
  name: "find-unregistered-scopes",
  sql: `SELECT scope FROM unnest(:scopes) AS scope
    WHERE NOT EXISTS (SELECT FROM apis, jsonb_array_elements(apis.scopes) AS declared WHERE declared->>'name' = scope)`,
  parameters: { scopes: arrayOf(text) },
  columns: { scope: text },
});

const findOwner = statement({
  name: "find-api-key-owner",
  sql: "SELECT FROM users WHERE id = :userId",
  parameters: { userId },
});

const bytesOf = (digest: ApiKeyDigest): Buffer => Buffer.from(digest, "latin1");

export function apiKeyStore(database: Database): ApiKeyStore {
  return {
    insert: ({ userId, ...owner }, key, { digest, lastFour }, limit) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockOwner.count(transaction, { userId, ...owner })) === 0) return undefined;
          const values = { ...key, userId, limit, digest: bytesOf(digest), lastFour };
          const inserted = await insertKey.first(transaction, values);
          if (!inserted) return "too-many" as const;
          const { createdAt } = inserted;
          const unused = { expiresAt: null, lastUsedAt: null, lastUsedNetwork: null };
          return { ...key, scopes: [...key.scopes], createdAt, secrets: [{ lastFour, createdAt, ...unused }] };
        }),
      ),

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
        }),
      ),

    rotate: (owner, key, { digest, lastFour }, overlapSeconds) =>
      database.write((knex) =>
        knex.transaction(async (transaction) => {
          if ((await lockOwner.count(transaction, owner)) === 0) return undefined;
          const values = { ...key, overlapSeconds, digest: bytesOf(digest), lastFour };
          const revocation = await rotateKey.first(transaction, values);
          if (!revocation) return "changed" as const;
          return { key: toKey(await findKey.one(transaction, key)), revocation };
        }),
      ),

    delete: (userId, id) => database.write((knex) => deleteKey.first(knex, { id, userId })),

    async deleteByDigest(digest) {
      const row = await database.write((knex) => deleteKeyByDigest.first(knex, { digest: bytesOf(digest) }));
      if (!row) return undefined;
      const { id, userId, ...revocation } = row;
      return { id, userId, revocation };
    },

    findByDigest: (digest) => database.read((knex) => findKeyByDigest.first(knex, { digest: bytesOf(digest) })),

    async recordUses(uses) {
      const values = {
        digests: uses.map(({ digest }) => bytesOf(digest)),
        times: uses.map(({ at }) => at),
        networks: uses.map(({ network }) => network),
      };
      await database.write((knex) => recordUses.count(knex, values));
    },

    findUnregistered: async (scopes) =>
      (await database.read((knex) => findUnregisteredScopes.rows(knex, { scopes }))).map(({ scope }) => scope),

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
