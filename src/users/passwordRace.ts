/** Changes that depend on a verified password, and that another change of the same user can come before. */
import type { PasswordPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";

/** Each attempt loses to another change of the password. */
const maxAttempts = 5;

/**
 * Runs a change that takes effect only while the password is the one that was verified. Where the password was replaced
 * meanwhile, it is verified again: it may have been replaced by itself, or the user registered anew.
 * @param change resolves with `undefined` where the password was replaced, or the user deleted, since it was verified
 * @returns `undefined` where the password is no longer right
 * @throws {Problem} `overloaded`
 */
export async function whilePasswordHolds<Result>(
  principal: PasswordPrincipal,
  change: (principal: PasswordPrincipal) => Promise<Result | undefined>,
): Promise<Result | undefined> {
  let current: PasswordPrincipal | undefined = principal;
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const result = await change(current);
    if (result !== undefined) return result;
    current = await current.verifyAgain();
    if (!current) return undefined;
  }
  throw new Problem("overloaded");
}
