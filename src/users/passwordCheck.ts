/** Checks the password of an account, and remembers the networks from which it was right. */
import type { Audit } from "../audit/audit.ts";
import type { Client, PasswordPrincipal } from "../openapi/binding.ts";
import type { PasswordHasher, Verification } from "../passwords/hashing.ts";
import { possiblePassword } from "../passwords/policy.ts";
import { Throttled } from "../throttling/limits.ts";
import { networkOf, networksOf, unknownNetwork } from "../throttling/network.ts";
import type { Throttle } from "../throttling/throttling.ts";
import type { Account, FamiliarNetwork, UserStore } from "./state.ts";

/** `name`: what guesses are counted by. `by`: what the account is found by. */
type Guess = { name: string; by: { id: string } | { username: string }; password: string; client: Client };
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
    const { name, by, password, client } = guess;
    const attempt = { account: name, networks: networksOf(client.address) };
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
      .catch(auditThrottled(client, "id" in by ? by.id : undefined));
    if (!verified) {
      const reason = account ? "wrong-password" : "unknown-user";
      audit("password-refused", client, { userId: account?.id, reason });
      return undefined;
    }
    await afterSignIn(verified, client);
    audit("password-accepted", client, { userId: verified.account.id });
    return principalOf(verified.account, guess);
  }

  /** `verifyAgain` has no limits: it is a part of the same attempt. */
  function principalOf({ id, username, tokenEpoch }: Account, guess: Guess): PasswordPrincipal {
    const { name, by, password, client } = guess;
    return {
      proof: "password",
      userId: id,
      username,
      epoch: tokenEpoch,
      async verifyAgain() {
        const account = await store.findAccount(by);
        const turn = { account: name, networks: networksOf(client.address) };
        const { matches } = await hasher.schedule(turn, (deadline) =>
          hasher.verify(account?.passwordHash, possiblePassword(password), deadline),
        );
        return account && matches ? principalOf(account, guess) : undefined;
      },
    };
  }

  /** Errors do not fail the sign-in: the next one tries again. */
  async function afterSignIn({ account, verification, isRemembered }: Verified, client: Client): Promise<void> {
    const { upgraded } = verification;
    if (upgraded !== undefined) {
      await store.upgradeHash(account.id, account.passwordHash, upgraded).catch(() => {});
    }
    if (isRemembered) return;
    await networkChanged({ userId: account.id, username: account.username }, client, undefined).catch(() => {});
  }

  /**
   * Notes that a user's password or live session was used from the client's network: from there other people's
   * guesses do not lock the user out.
   * @param sessionId of the session that was refreshed; `undefined` where the password was used
   * @throws {Problem} `database-unavailable`
   */
  async function networkChanged(
    user: { userId: string; username: string },
    client: Client,
    sessionId: string | undefined,
  ): Promise<void> {
    const familiar = familiarOf(user.username, client);
    if (familiar.network !== unknownNetwork) await store.rememberNetwork(user.userId, familiar, sessionId);
  }

  function familiarOf(username: string, client: Client): FamiliarNetwork {
    const network = networkOf(client.address);
    return { network, key: familiarKey(username, network) };
  }

  const auditThrottled =
    (client: Client, userId?: string) =>
    (error: unknown): never => {
      if (error instanceof Throttled) audit("throttled", client, { userId, limit: error.limit });
      throw error;
    };

  return { verify, networkChanged, familiarOf, auditThrottled };
}
