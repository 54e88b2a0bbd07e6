/** Finds and unlocks the user that a command names. */
import type { Database } from "../database/database.ts";
import { StartError } from "../errors.ts";
import { userId } from "../identifiers.ts";
import { throttleKeys } from "../throttling/keys.ts";
import { attemptStore } from "../throttling/store.ts";
import { userStore } from "../users/store.ts";
import type { User } from "../users/storeTypes.ts";
import { canonicalUsername, nobody } from "../users/username.ts";

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

/**
 * @param nameOrId a username or a user id
 * @returns the username; `nameOrId` unchanged unless it is the id of a user
 */
export async function usernameOf(database: Database, nameOrId: string): Promise<string> {
  if (!isUuid(nameOrId)) return nameOrId;
  return (await userStore(database).find(userId(nameOrId)))?.username ?? nameOrId;
}

/**
 * @param nameOrId a username or a user id
 * @throws {StartError} if there is no such user
 */
export async function findUser(database: Database, nameOrId: string): Promise<User> {
  const store = userStore(database);
  const byId = isUuid(nameOrId) ? await store.find(userId(nameOrId)) : undefined;
  if (byId) return byId;
  const account = await store.findAccount({ username: canonicalUsername(nameOrId) ?? nobody });
  const user = account && (await store.find(account.id));
  if (!user) throw noUser(nameOrId);
  return user;
}
