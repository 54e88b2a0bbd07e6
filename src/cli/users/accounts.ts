/** What the verbs of `latchkey users` have in common. */
import { passwordHasher } from "../../passwords/hashing.ts";
import { passwordPolicy } from "../../passwords/policy.ts";
import { policyEnforcer } from "../../users/acceptance.ts";
import { type Administration, createAdministration } from "../../users/administration/administration.ts";
import { administrationStore } from "../../users/administration/store.ts";
import { representUser } from "../../users/representUser.ts";
import type { User } from "../../users/storeTypes.ts";
import { noUser } from "../account.ts";
import type { Tools } from "../database.ts";
import { printObject } from "../results.ts";

/** The users, for an operator. */
export function openUsers({ config, log, database, audit }: Tools): Administration {
  return createAdministration({
    store: administrationStore(database),
    hasher: passwordHasher({ memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes }, (message) =>
      log.warn(message),
    ),
    enforcePolicy: policyEnforcer(passwordPolicy(config)),
    enforce: () => {}, // the running instances read the revocation
    audit,
  });
}

/**
 * @param nameOrId a username in any form, or a user id
 * @throws {StartError} if there is no such user
 */
export async function findUser(tools: Tools, nameOrId: string): Promise<User> {
  const user = await openUsers(tools).find(nameOrId);
  if (!user) throw noUser(nameOrId);
  return user;
}

export const userColumns = ["id", "username", "created_at", "blocked", "roles"] as const;

export const printUser = (user: User, json: true | undefined): Promise<void> => printObject(representUser(user), json);
