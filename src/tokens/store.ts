import type { Database } from "../database/database.ts";
import type { SigningKeyStore, StoredKey } from "./signingKeys.ts";

/** Names the making of the first key among a database's advisory locks. */
const advisoryLock = 5_391_648;

export function signingKeyStore(database: Database): SigningKeyStore {
  return {
    async findAllOrInsert(first) {
      const found = await database.read((knex) => allKeys(knex));
      if (found.length > 0) return found;
      const { kid, privateJwe } = await first();
      return database.write((knex) =>
        knex.transaction(async (transaction) => {
          await transaction.raw("SELECT pg_advisory_xact_lock(?)", [advisoryLock]);
          const others = await allKeys(transaction);
          if (others.length > 0) return others;
          await transaction("signing_keys").insert({ kid, private_jwe: privateJwe });
          return allKeys(transaction);
        }),
      );
    },
  };
}

const allKeys = (knex: Parameters<Parameters<Database["read"]>[0]>[0]) =>
  knex("signing_keys").select<StoredKey[]>({ kid: "kid", privateJwe: "private_jwe" }).orderBy("created_at", "desc");
