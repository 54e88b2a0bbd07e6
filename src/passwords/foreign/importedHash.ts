/** Which hashes can be imported: those of other programs, those of this service, and none. */
import { disabledPassword, type HashCost, isOurs } from "../hashing.ts";
import { readArgon2 } from "./argon2.ts";
import { readForeignHash } from "./foreign.ts";
import type { ForeignHash, RefusedHash } from "./foreignHash.ts";

/** `hash` is absent if no password matches. `stored` is the text to store. */
export type ImportedHash = { stored: string; hash?: ForeignHash };

/**
 * @param cost the cost of this service's own hashes. They are accepted even if those of other programs may not cost as much, so
 * that an export can be imported.
 * @returns `undefined` if the form is unknown
 */
export function readImportedHash(text: string, cost: HashCost): ImportedHash | RefusedHash | undefined {
  // Django writes ! and random characters for a user who cannot sign in with a password.
  if (/^!\w*$/.test(text)) return { stored: disabledPassword };
  const hash = isOurs(text, cost) ? readArgon2(text, false) : readForeignHash(text);
  if (!hash || "refusal" in hash) return hash;
  return { stored: text, hash };
}
