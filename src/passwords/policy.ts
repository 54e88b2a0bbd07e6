/** The rules for new passwords (NIST SP 800-63B-4, section 3.1.1.2): length, the blocklist, and the username. */
import type { PasswordRefusal } from "../problems/problems.ts";
import { mapPassword } from "../unicode/mappings.ts";
import { codePointCount, type Enforced, enforcePassword } from "../unicode/precis.ts";
import { checkStrength } from "./strengthCheck.ts";

export type PasswordPolicy = {
  /** In code points. */
  minimumLength: number;
  /** Whether common and predictable passwords are rejected. */
  blocklist: boolean;
  /** Names of the service and its site, in lower case. A password that consists of them is predictable. */
  contextWords: readonly string[];
};

/** In code points. */
export const maximumLength = 128;
/** Shorter usernames occur in many good passwords. In code points. */
const minCheckedUsername = 3;

/** In UTF-16 units, before the mappings: many times what 128 code points need. Longer texts are not normalized. */
const maxTypedLength = 2048;

/**
 * The form in which a password is compared. It is not checked against the policy: an earlier version may have accepted it.
 * @returns `undefined` if the text cannot be a password
 */
export const canonicalPassword = (text: string): string | undefined =>
  text !== "" && text.length <= maxTypedLength && text.isWellFormed() ? mapPassword(text) : undefined;

/** The form in which a new password is hashed (RFC 8265, OpaqueString). */
export const newPassword = (text: string): Enforced =>
  text.length <= maxTypedLength ? enforcePassword(text) : { refusal: `has more than ${maximumLength} characters` };

/**
 * @param password in the form of RFC 8265 (OpaqueString); lengths are in its code points.
 * @param username in the form of RFC 8265 (UsernameCaseMapped).
 * @returns why it is rejected; `undefined` if it is accepted
 * @throws {Problem} `overloaded` if its strength was not estimated in time
 */
export async function checkPolicy(
  password: string,
  username: string,
  { minimumLength, blocklist, contextWords }: PasswordPolicy,
): Promise<PasswordRefusal | undefined> {
  const length = codePointCount(password);
  if (length < minimumLength) return "too-short";
  if (length > maximumLength) return "too-long";
  if (codePointCount(username) >= minCheckedUsername && password.toLowerCase().includes(username))
    return "contains-username";
  return blocklist ? checkStrength(password, [...contextWords, username]) : undefined;
}

/** The detail of the problem `password-refused`. */
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

type PolicySettings = {
  passwordMinLength: number;
  passwordBlocklist: boolean;
  passwordContextWords: readonly string[] | undefined;
  publicUrl: string | undefined;
};

/** Creates the policy from the settings. The words in the host name of `PUBLIC_URL` are context words, too. */
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
