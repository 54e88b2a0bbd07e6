/** Changes that depend on a verified password, which a concurrent request of the same user may replace. */
import type { PasswordPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";

/** An attempt fails only if a concurrent request changes the password first. */
const maxAttempts = 5;

/**
 * Makes a change that takes effect only if the password is still the verified one. If the password was replaced meanwhile,
 * verifies it again: the new password may be the same, or the user may have registered again.
 * @param change resolves with `undefined` if the password was replaced, or the user deleted, after the verification
 * @returns `undefined` if the password is no longer valid
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
