/** Checks the password of an account, and remembers the networks from which it was right. */
import type { Audit } from "../audit/audit.ts";
import { type Networks, unknownNetwork } from "../networks.ts";
import type { PasswordHasher, Verification } from "../passwords/hashing.ts";
import { possiblePassword } from "../passwords/policy.ts";
import type { PasswordPrincipal } from "../principal.ts";
import { Throttled } from "../throttling/limits.ts";
import type { Throttle } from "../throttling/throttling.ts";
import type { Account, FamiliarNetwork, UserStore } from "./state.ts";

/** `name`: what guesses are counted by. `by`: what the account is found by. */
type Guess = { name: string; by: { id: string } | { username: string }; password: string; networks: Networks };
type Verified = { account: Account; verification: Verification; isRemembered: boolean };

export type PasswordCheckParts = {
  store: UserStore;
  hasher: PasswordHasher;
  throttle: Throttle;
  /** The key of an account's familiar network. */
  familiarKey: (username: string, network: string) => string;
  audit: Audit;
};

export function createPasswordCheck({ store, hasher, throttle, familiarKey, audit }: PasswordCheckParts) {
  /**
   * Verifies the password of an account within the limits of guessing. The account is looked up only within them: a
   * rejected attempt does the same work whether or not there is one.
   * @returns `undefined` where the password is wrong, or there is no such account
   * @throws {Problem} `too-many-requests`, `overloaded`
   */
  async function verify(guess: Guess): Promise<PasswordPrincipal | undefined> {
    const { name, by, password, networks } = guess;
    const attempt = { account: name, networks };
    let account: Account | undefined;
    const verified = await throttle
      .password(attempt, {
        find: () => store.findAccount(by),
        async evaluate(found, { deadline, isRemembered }) {
          account = found;
          const verification = await hasher.verify(found?.passwordHash, possiblePassword(password), deadline);
          return found && verification.matches ? { account: found, verification, isRemembered } : undefined;
        },
      })
      .catch(auditThrottled("id" in by ? by.id : undefined));
    if (!verified) {
      const reason = account ? "wrong-password" : "unknown-user";
      audit("password-refused", { userId: account?.id, reason });
      return undefined;
    }
    await afterSignIn(verified, networks[0]);
    audit("password-accepted", { userId: verified.account.id });
    return principalOf(verified.account, guess);
  }

  /** `verifyAgain` has no limits: it is a part of the same attempt. */
  function principalOf({ id, username, tokenEpoch }: Account, guess: Guess): PasswordPrincipal {
    const { name, by, password, networks } = guess;
    return {
      proof: "password",
      userId: id,
      username,
      epoch: tokenEpoch,
      async verifyAgain() {
        const account = await store.findAccount(by);
        const { matches } = await hasher.schedule({ account: name, networks }, (deadline) =>
          hasher.verify(account?.passwordHash, possiblePassword(password), deadline),
        );
        return account && matches ? principalOf(account, guess) : undefined;
      },
    };
  }

  /** Errors do not fail the sign-in: the next one tries again. */
  async function afterSignIn({ account, verification, isRemembered }: Verified, network: string): Promise<void> {
    const { upgraded } = verification;
    if (upgraded !== undefined) {
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    if (isRemembered) return;
    await networkChanged({ userId: account.id, username: account.username }, network, undefined).catch(() => {});
  }

  /**
   * Notes that a user's password or live session was used from a network: from there other people's
   * guesses do not lock the user out.
   * @param sessionId of the session that was refreshed; `undefined` where the password was used
   * @throws {Problem} `database-unavailable`
   */
  async function networkChanged(
    user: { userId: string; username: string },
    network: string,
    sessionId: string | undefined,
  ): Promise<void> {
    if (network === unknownNetwork) return;
    await store.rememberNetwork(user.userId, familiarOf(user.username, network), sessionId);
  }

  const familiarOf = (username: string, network: string): FamiliarNetwork => ({
    network,
    key: familiarKey(username, network),
  });

  const auditThrottled =
    (userId?: string) =>
    (error: unknown): never => {
      if (error instanceof Throttled) audit("throttled", { userId, limit: error.limit });
      throw error;
    };

  return { verify, networkChanged, familiarOf, auditThrottled };
}
