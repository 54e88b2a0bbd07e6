import { statement } from "./sql.ts";
import { arrayOf, bytea, nullable, text, timestamptz } from "./sqlTypes.ts";

/**
 * Records the last uses of secrets. A locked secret is being changed or deleted, or recorded by another instance. Its use is recorded a
 * minute later.
 */
export const recordSecretUses = (name: string, table: "api_key_secrets" | "client_secrets") =>
  statement({
    name,
    sql: `UPDATE ${table} AS secret SET last_used_at = used_at, last_used_network = used_network
      FROM (
        SELECT digest, used_at, used_network
        FROM ${table} JOIN unnest(:digests, :times, :networks) AS uses (used, used_at, used_network) ON digest = used
        WHERE last_used_at IS NULL OR last_used_at < used_at
        FOR NO KEY UPDATE OF ${table} SKIP LOCKED
      ) AS uses
      WHERE secret.digest = uses.digest`,
    parameters: { digests: arrayOf(bytea), times: arrayOf(timestamptz), networks: arrayOf(nullable(text)) },
  });
