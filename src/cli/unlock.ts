import type { Database } from "../database/database.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { countStore } from "../throttling/store.ts";
import { canonicalUsername } from "../users/username.ts";

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
