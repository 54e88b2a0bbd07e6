/** Finds and unlocks the user that a command names. */
import type { Database } from "../database/database.ts";
import { userId } from "../identifiers.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { attemptStore } from "../throttling/store.ts";
import { userStore } from "../users/store.ts";
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

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * @param nameOrId a username or a user id
 * @returns the username; `nameOrId` unchanged unless it is the id of a user
 */
export async function usernameOf(database: Database, nameOrId: string): Promise<string> {
  if (!uuid.test(nameOrId)) return nameOrId;
  return (await userStore(database).find(userId(nameOrId)))?.username ?? nameOrId;
}
