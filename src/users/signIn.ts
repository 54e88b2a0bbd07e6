/**
 * Verifies the password of an account within the limits on wrong passwords. Its SQL is in throttling/store.ts: `beginSignIn`
 * finds the account and counts the attempt, and `completeSignIn` settles it.
 */

import type { Audit } from "../audit/audit.ts";
import type { Networks } from "../networks.ts";
import type { PasswordHasher } from "../passwords/hashing.ts";
import type { PasswordPrincipal } from "../principal.ts";
import { Throttled } from "../throttling/limits.ts";
import type { Account, AccountReference } from "../throttling/storeTypes.ts";
import type { Throttle } from "../throttling/throttling.ts";
import type { UserStore } from "./storeTypes.ts";

/** `name`: attempts are counted by it, whether or not there is such a user. */
type Guess = { name: string; reference: AccountReference; password: string; networks: Networks };

export type SignInParts = {
  store: UserStore;
  hasher: PasswordHasher;
  throttle: Throttle;
  /**
   * Confirms that the server was still the primary when the account was read (src/database/serverCheck.ts).
   * @throws {Problem} `database-unavailable`
   */
  confirmServer(server: string | undefined): Promise<void>;
  audit: Audit;
};

export function createSignIn({ store, hasher, throttle, confirmServer, audit }: SignInParts) {
  /**
   * Verifies a password, with the same work whether or not the user exists.
   * @returns `undefined` if the password is wrong, or there is no such user
   * @throws {Problem} `too-many-requests`, `overloaded`, `database-unavailable`
   */
  async function verify(guess: Guess): Promise<PasswordPrincipal | undefined> {
    const { name, reference, password, networks } = guess;
    const startedAt = performance.now();
    const { account, blockedId, result, currentEpoch, server } = await throttle
      .checkPassword({ account: name, networks, reference }, async (account, deadline) => {
        const verification = await hasher.verify(account?.passwordHash, password, deadline);
        return verification.matches ? verification : undefined;
      })
      .catch(auditThrottled("id" in reference ? reference.id : undefined));
    const principal =
      account &&
      result &&
      (currentEpoch === undefined
        ? await verifyReplaced(account, guess)
        : principalOf(account, guess, { epoch: currentEpoch, startedAt }));
    if (!principal) {
      // A primary that was replaced does not have the newest users and passwords.
      await confirmServer(server);
      const reason = account ? "wrong-password" : blockedId ? "blocked" : "unknown-user";
      audit("password-refused", { userId: account?.id ?? blockedId, reason });
      return undefined;
    }
    const { upgraded } = result;
    if (upgraded !== undefined) {
      // On an error, the next sign-in tries again.
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    audit("password-accepted", { userId: principal.userId });
    return principal;
  }

  function principalOf(
    account: Account,
    guess: Guess,
    current?: { epoch: number; startedAt: number },
  ): PasswordPrincipal {
    const { id, username, tokenEpoch } = account;
    return {
      proof: "password",
      userId: id,
      username,
      epoch: current?.epoch ?? tokenEpoch,
      epochReadAfterMs: current?.startedAt,
      verifyAgain: () => verifyAgain(guess),
    };
  }

  /**
   * For a right password that was replaced, or whose user was deleted, during the verification. The new password may be the
   * same. A deleted user remains the principal, because each of several concurrent deletions succeeds.
   */
  async function verifyReplaced(account: Account, guess: Guess): Promise<PasswordPrincipal | undefined> {
    const current = await verifyAgain(guess);
    return current ?? ((await store.find(account.id)) ? undefined : principalOf(account, guess));
  }

  /** Verifies the password again as a part of the same attempt, which is already counted. */
  async function verifyAgain(guess: Guess): Promise<PasswordPrincipal | undefined> {
    const { name, reference, password, networks } = guess;
    const account = await store.findAccount(reference);
    const { matches } = await hasher.schedule({ account: name, networks }, (deadline) =>
      hasher.verify(account?.passwordHash, password, deadline),
    );
    return account && matches ? principalOf(account, guess) : undefined;
  }

  const auditThrottled =
    (userId?: string) =>
    (error: unknown): never => {
      if (error instanceof Throttled) audit("throttled", { userId, limit: error.limit });
      throw error;
    };

  return { verify, auditThrottled };
}
