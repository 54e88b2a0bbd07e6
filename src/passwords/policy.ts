/** Which new passwords are refused: too short, too long, common, or made of the username (NIST SP 800-63B-4, section 3.1.1.2). */
import { dictionary } from "@zxcvbn-ts/language-common";
import type { PasswordRefusal } from "../contract/problems.ts";
import { codePointCount, opaqueString } from "../unicode/precis.ts";

export type PasswordPolicy = {
  minimumLength: number;
  /** Whether common passwords are refused. */
  blocklist: boolean;
};

/** Long enough for any sentence, short enough to be hashed without thought. In code points. */
export const maximumLength = 128;
// A username of one or two letters is part of many good passwords.
const shortestTellingUsername = 3;

// Many times what 128 code points can be written with; normalising more would be work for nothing.
const longestTyped = 2048;

/** The form in which a password is hashed and compared, or `undefined` where it cannot be one. */
export const possiblePassword = (text: string): string | undefined =>
  text.length <= longestTyped ? opaqueString(text) : undefined;

/**
 * @param password in the form of RFC 8265 (OpaqueString); lengths are in its code points.
 * @param username in the form of RFC 8265 (UsernameCaseMapped).
 * @returns why it is refused, or `undefined`.
 */
export function refusalOf(password: string, username: string, policy: PasswordPolicy): PasswordRefusal | undefined {
  const length = codePointCount(password);
  if (length < policy.minimumLength) return "too-short";
  if (length > maximumLength) return "too-long";
  const folded = password.toLowerCase();
  if (policy.blocklist && commonPasswords.has(folded)) return "too-common";
  if (codePointCount(username) >= shortestTellingUsername && folded.includes(username)) return "contains-username";
  return undefined;
}

/** The words for people. */
export function explainRefusal(reason: PasswordRefusal, policy: PasswordPolicy): string {
  switch (reason) {
    case "too-short":
      return `A password needs at least ${policy.minimumLength} characters.`;
    case "too-long":
      return `A password may have ${maximumLength} characters.`;
    case "too-common":
      return "This password is among those that everyone tries first.";
    case "contains-username":
      return "The password has the username in it.";
  }
}

const commonPasswords = new Set<string>(dictionary["passwords-common"]);
