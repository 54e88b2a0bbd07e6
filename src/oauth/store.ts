import type { Database } from "../database/database.ts";
import { statement } from "../database/sql.ts";
import { bytea, timestamptz } from "../database/sqlTypes.ts";
import type { UsedProofStore } from "./usedProofs.ts";

const insertUsedProof = statement({
  name: "insert-used-proof",
  sql: "INSERT INTO used_proofs (digest, expires_at) VALUES (:digest, :expiresAt) ON CONFLICT DO NOTHING",
  parameters: { digest: bytea, expiresAt: timestamptz },
});

export const usedProofStore = (database: Database): UsedProofStore => ({
  insert: async (digest, expiresAt) =>
    (await database.write((knex) => insertUsedProof.count(knex, { digest, expiresAt }))) === 1,
});
