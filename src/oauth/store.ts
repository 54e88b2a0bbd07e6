import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { boolean, bytea, timestamptz } from "../database/sqlTypes.ts";
import type { UsedProofStore } from "./usedProofs.ts";

/**
 * A DPoP proof is sent with each request and expires within two minutes. So its commit does not wait for the disk or for a standby: a
 * crash loses the proofs of the last second.
 */
const insertUsedProof = statement({
  name: "insert-used-proof",
  sql: `INSERT INTO used_proofs (digest, expires_at)
    SELECT :digest, :expiresAt
    FROM set_config('synchronous_commit', CASE WHEN :isDurable THEN current_setting('synchronous_commit') ELSE 'off' END, true)
    ON CONFLICT DO NOTHING`,
  parameters: { digest: bytea, expiresAt: timestamptz, isDurable: boolean },
});

export const usedProofStore = (database: Database): UsedProofStore => ({
  insert: async (proof) => (await database.write((knex) => insertUsedProof.count(knex, proof))) === 1,
});
