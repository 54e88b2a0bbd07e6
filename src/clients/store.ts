import { clientId } from "../database/columns.ts";
import type { Database } from "../database/database.ts";
import { type RowOf, statement } from "../database/sql.ts";
import { arrayOf, bytea, nullable, text, timestamptz } from "../database/sqlTypes.ts";
import { digestBytes, storedDigest } from "../lib/secretText.ts";
import { clientColumns, selectedClient } from "./columns.ts";
import type { Client, ClientStore } from "./storeTypes.ts";

const findClient = statement({
  name: "find-client",
  sql: `SELECT ${selectedClient}, ARRAY(SELECT digest FROM client_secrets WHERE client_id = clients.id) AS "secretDigests"
    FROM clients WHERE id = :id`,
  parameters: { id: clientId },
  columns: { ...clientColumns, secretDigests: arrayOf(bytea) },
});

/** A locked secret is being deleted, or recorded by another instance. Its use is recorded a minute later. */
const recordUses = statement({
  name: "record-client-secret-uses",
  sql: `UPDATE client_secrets AS secret SET last_used_at = used_at, last_used_network = used_network
    FROM (
      SELECT digest, used_at, used_network
      FROM client_secrets JOIN unnest(:digests, :times, :networks) AS uses (used, used_at, used_network) ON digest = used
      WHERE last_used_at IS NULL OR last_used_at < used_at
      FOR NO KEY UPDATE OF client_secrets SKIP LOCKED
    ) AS uses
    WHERE secret.digest = uses.digest`,
  parameters: { digests: arrayOf(bytea), times: arrayOf(timestamptz), networks: arrayOf(nullable(text)) },
});

export const clientStore = (database: Database): ClientStore => ({
  async find(id) {
    const row = await database.read((knex) => findClient.first(knex, { id }));
    return row && toClient(row);
  },

  async recordUses(uses) {
    const values = {
      digests: uses.map(({ digest }) => digestBytes(digest)),
      times: uses.map(({ at }) => at),
      networks: uses.map(({ network }) => network),
    };
    await database.write((knex) => recordUses.count(knex, values));
  },
});

const toClient = ({ secretDigests, ...client }: RowOf<typeof findClient>): Client => ({
  ...client,
  secretDigests: secretDigests.map(storedDigest),
});
