/** What the verbs of `latchkey users` have in common. */
import { InputError } from "../../errors.ts";
import { passwordHasher } from "../../passwords/hashing.ts";
import { passwordPolicy } from "../../passwords/policy.ts";
import { Problem } from "../../problems/problems.ts";
import { throttleKeys } from "../../throttling/keys.ts";
import { noThrottle } from "../../throttling/throttling.ts";
import { readSecretKeys } from "../../tokens/secretKey.ts";
import { userStore } from "../../users/store.ts";
import { createUsers, type Users } from "../../users/users.ts";
import type { Tools } from "../database.ts";

/** The users, for an operator: without limits on attempts. */
export async function openUsers({ config, log, database, audit }: Tools): Promise<Users> {
  const keys = throttleKeys((await readSecretKeys(config)).counting);
  const hasher = passwordHasher({ memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes }, (message) =>
    log.warn(message),
  );
  const store = userStore(database);
  return createUsers({
    store,
    hasher,
    policy: passwordPolicy(config),
    throttle: noThrottle(hasher.schedule, store.findAccount),
    networkKey: (username, network) => keys.knownNetworks(username, network)[0],
    enforce: () => {}, // the running instances read the revocation
    clock: () => new Date(),
    audit,
  });
}

/** @throws {InputError} if the password is not accepted; otherwise the error itself */
export function explainPassword(error: unknown): never {
  if (!(error instanceof Problem) || error.status >= 500) throw error;
  const { detail, errors } = error.body("");
  throw new InputError(detail ?? `The password ${errors?.[0]?.detail ?? "is not accepted"}.`);
}
