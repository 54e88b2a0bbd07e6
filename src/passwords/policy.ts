/** Which new passwords are refused: too short, too long, easy to guess, or made of the username (NIST SP 800-63B-4, section 3.1.1.2). */
import type { PasswordRefusal } from "../problems/problems.ts";
import { mapPassword } from "../unicode/mappings.ts";
import { codePointCount, type Enforced, enforcePassword } from "../unicode/precis.ts";
import { checkWeakness } from "./weaknessCheck.ts";

export type PasswordPolicy = {
  /** In code points. */
  minimumLength: number;
  /** Whether common and predictable passwords are refused. */
  blocklist: boolean;
  /** The names of the service and its site, in lower case: a password made of them is predictable. */
  contextWords: readonly string[];
};

/** Long enough for any sentence, short enough to be hashed without thought. In code points. */
export const maximumLength = 128;
// A username of one or two letters is part of many good passwords.
const shortestTellingUsername = 3;

// Many times what 128 code points can be written with; normalising more would be work for nothing.
const longestTyped = 2048;

/**
 * The form in which a password is compared. It is not checked: one that an earlier version accepted still works.
 * @returns `undefined` where no password is of that form
 */
export const possiblePassword = (text: string): string | undefined =>
  text !== "" && text.length <= longestTyped && text.isWellFormed() ? mapPassword(text) : undefined;

/** The form in which a new password is hashed (RFC 8265, OpaqueString). */
export const newPassword = (text: string): Enforced =>
  text.length <= longestTyped ? enforcePassword(text) : { refusal: `has more than ${maximumLength} characters` };

/**
 * @param password in the form of RFC 8265 (OpaqueString); lengths are in its code points.
 * @param username in the form of RFC 8265 (UsernameCaseMapped).
 * @returns why it is refused, or `undefined`.
 * @throws {Problem} `overloaded` where too many passwords wait to be estimated
 */
export async function refusalOf(
  password: string,
  username: string,
  { minimumLength, blocklist, contextWords }: PasswordPolicy,
): Promise<PasswordRefusal | undefined> {
  const length = codePointCount(password);
  if (length < minimumLength) return "too-short";
  if (length > maximumLength) return "too-long";
  if (codePointCount(username) >= shortestTellingUsername && password.toLowerCase().includes(username))
    return "contains-username";
  return blocklist ? checkWeakness(password, [...contextWords, username]) : undefined;
}

/** The words for people. */
export function explainRefusal(reason: PasswordRefusal, policy: PasswordPolicy): string {
  switch (reason) {
    case "too-short":
      return `A password needs at least ${policy.minimumLength} characters.`;
    case "too-long":
      return `A password has at most ${maximumLength} characters.`;
    case "too-common":
      return "This password is too common.";
    case "too-predictable":
      return "This password is easy to guess. Use three or four unrelated words.";
    case "contains-username":
      return "The password contains the username.";
  }
}

/** As in the settings. */
type PolicySettings = {
  passwordMinLength: number;
  passwordBlocklist: boolean;
  passwordContextWords: readonly string[] | undefined;
  publicUrl: string | undefined;
};

/** The policy of the settings. The host name of `PUBLIC_URL` is made of words that an attacker tries first, too. */
export function passwordPolicy(settings: PolicySettings): PasswordPolicy {
  const { passwordMinLength, passwordBlocklist, passwordContextWords: words = [], publicUrl } = settings;
  const labels = publicUrl === undefined ? [] : new URL(publicUrl).hostname.split(/[.-]/);
  const contextWords = ["latchkey", ...words, ...labels].map((word) => word.toLowerCase());
  return {
    minimumLength: passwordMinLength,
    blocklist: passwordBlocklist,
    contextWords: contextWords.filter((word) => word.length >= 3),
  };
}
