/** What the verbs of `latchkey users` have in common. */
import { InputError } from "../../errors.ts";
import { passwordHasher } from "../../passwords/hashing.ts";
import { passwordPolicy } from "../../passwords/policy.ts";
import { Problem } from "../../problems/problems.ts";
import { policyEnforcer } from "../../users/acceptance.ts";
import { type Administration, createAdministration } from "../../users/administration/administration.ts";
import { administrationStore } from "../../users/administration/store.ts";
import type { Tools } from "../database.ts";

/** The administration of users, for an operator. */
export function openAdministration({ config, log, database, audit }: Tools): Administration {
  const hasher = passwordHasher({ memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes }, (message) =>
    log.warn(message),
  );
  return createAdministration({
    store: administrationStore(database),
    hasher,
    enforcePolicy: policyEnforcer(passwordPolicy(config)),
    enforce: () => {}, // the running instances read the revocation
    audit,
  });
}

/** @throws {InputError} if the password is not accepted; otherwise the error itself */
export function explainPassword(error: unknown): never {
  if (!(error instanceof Problem) || error.status >= 500) throw error;
  const { detail, errors } = error.body("");
  throw new InputError(detail ?? `The password ${errors?.[0]?.detail ?? "is not accepted"}.`);
}
