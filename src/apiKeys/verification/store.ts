import { apiKeyId, userId, username } from "../../database/columns.ts";
import type { Database } from "../../database/database.ts";
import { recordSecretUses } from "../../database/secretUses.ts";
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

const recordUses = recordSecretUses("record-api-key-uses", "api_key_secrets");

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
