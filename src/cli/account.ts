import type { Database } from "../database/database.ts";
import { userId } from "../identifiers.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { attemptStore } from "../throttling/store.ts";
import { userStore } from "../users/store.ts";
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
  return attemptStore(database).clear(throttleKeys(secretKeys).accounts(canonicalUsername(name) ?? name));
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The username of somebody who is named by it or, as the log has it, by the user's id.
 * @returns what is given, where it is no id of a user
 */
export async function usernameOf(database: Database, given: string): Promise<string> {
  if (!uuid.test(given)) return given;
  return (await userStore(database).find(userId(given)))?.username ?? given;
}
