import { apiKeyId, userId, username } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { statement } from "../../database/sql.ts";
import { arrayOf, boolean, bytea, integer, nullable, text, timestamptz } from "../../database/sqlTypes.ts";
import { digestBytes } from "../format.ts";
import type { VerificationStore } from "./storeTypes.ts";

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

export function verificationStore(database: Database): VerificationStore {
  return {
    findByDigest: (digest) => database.read((knex) => findKeyByDigest.first(knex, { digest: digestBytes(digest) })),

    async recordUses(uses) {
      const values = {
        digests: uses.map(({ digest }) => digestBytes(digest)),
        times: uses.map(({ at }) => at),
        networks: uses.map(({ network }) => network),
      };
      await database.write((knex) => recordUses.count(knex, values));
    },
  };
}
