/** Changes that depend on a verified password, and that a concurrent change of the same user can come before. */
import type { PasswordPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";

/** An attempt fails only when another change of the password comes first. */
const maxAttempts = 5;

/**
 * Makes a change that takes effect only while the password is the one that was verified. If the password was replaced meanwhile,
 * verifies it again: it may have been replaced by itself, or the user may have registered again.
 * @param change resolves with `undefined` if the password was replaced, or the user deleted, since it was verified
 * @returns `undefined` if the password is no longer right
 * @throws {Problem} `overloaded`
 */
export async function withCurrentPassword<Result>(
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
