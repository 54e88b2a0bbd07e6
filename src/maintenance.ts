/** What can be done beside running services, from the command line: migrate, and see to the signing keys. */
import type { Logger } from "pino";
import { type Config, StartError } from "./config.ts";
import { type Database, openDatabase } from "./database/database.ts";
import { isMigrated } from "./database/migrate.ts";
import { auditLog } from "./operations/log.ts";
import { findPostgres, migrateWithPatience, openPostgres } from "./postgres.ts";
import { throttleKeys } from "./throttling/keys.ts";
import { countStore } from "./throttling/store.ts";
import { createSeal } from "./tokens/sealing.ts";
import { readSecretKeys } from "./tokens/secretKey.ts";
import { ensureKey, requireSecretKey, rotateKeys, type StoredKey } from "./tokens/signingKeys.ts";
import { signingKeyStore } from "./tokens/store.ts";
import { canonicalUsername } from "./users/username.ts";

/** Applies the missing migrations and nothing else. @returns their names */
export async function migrateOnly(config: Config, log: Logger): Promise<string[]> {
  const postgres = await openPostgres(config, log);
  try {
    return await migrateWithPatience(postgres.address, log);
  } finally {
    await postgres.close();
  }
}

/** What can be done to signing keys from the command line, while services are running. */
export type KeyTools = {
  list(): Promise<StoredKey[]>;
  /** @returns the id of the new key */
  rotate(): Promise<string>;
  /** @returns whether there was such a key. Its tokens are dead within a second. */
  revoke(kid: string): Promise<boolean>;
};

/** Opens the database for as long as `use` takes. */
export async function withKeys(config: Config, log: Logger, use: (tools: KeyTools) => Promise<void>): Promise<void> {
  const postgres = (await findPostgres(config)) ?? (await openPostgres(config, log));
  const database = openDatabase(postgres.address, 1, (message) => log.warn(message));
  const audit = auditLog(log);
  try {
    if (!(await isMigrated(database)))
      throw new StartError("The database is not prepared: run latchkey migrate first.");
    const store = signingKeyStore(database);
    const seal = createSeal(await readSecretKeys(config));
    await requireSecretKey(store, seal);
    await use({
      list: store.findAll,
      async rotate() {
        const keyId = await rotateKeys(store, seal);
        audit("signing-key-rotated", undefined, { keyId });
        return keyId;
      },
      async revoke(kid) {
        const revocation = await store.revoke(kid);
        if (revocation) audit("signing-key-revoked", undefined, { keyId: kid });
        await ensureKey(store, seal);
        return revocation !== undefined;
      },
    });
  } finally {
    await database.close();
    await postgres.close();
  }
}

/**
 * Forgets the wrong passwords that are counted against an account, whether or not there is such a user. What is
 * counted against addresses stays. An instance may refuse for two seconds more what it has just refused.
 * @returns whether there was anything to forget
 */
export async function unlockAccount(
  database: Database,
  secretKeys: readonly [string, ...string[]],
  name: string,
): Promise<boolean> {
  return countStore(database).clear(throttleKeys(secretKeys).accounts(canonicalUsername(name) ?? name));
}
