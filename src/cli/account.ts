/** Unlocks accounts. */
import type { Database } from "../database/database.ts";
import { StartError } from "../errors.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { attemptStore } from "../throttling/store.ts";
import { canonicalUsername } from "../users/username.ts";

/**
 * Resets the counts of wrong passwords of an account, whether or not the user exists. The counts of addresses remain. An instance
 * may repeat a recent rejection for two more seconds.
 * @returns whether there was a count to reset
 */
export async function unlockAccount(
  database: Database,
  secretKeys: readonly [string, ...string[]],
  name: string,
): Promise<boolean> {
  return attemptStore(database).clear(throttleKeys(secretKeys).accounts(canonicalUsername(name) ?? name));
}

export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

export const noUser = (name: string) => new StartError(`There is no user ${JSON.stringify(name)}.`);
