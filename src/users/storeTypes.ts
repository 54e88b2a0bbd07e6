/** What is stored of users. */
import type { CanonicalUsername, Network, SessionId, UserId } from "../identifiers.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { Account, AccountReference } from "../throttling/storeTypes.ts";

export type User = { id: UserId; username: CanonicalUsername; createdAt: Date };

/** A network that is known to an account. `key`: identifies account and network when a password is checked. */
export type KnownNetwork = { network: Network; key: string };

/** Each method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: UserId; username: CanonicalUsername; passwordHash: string } & KnownNetwork): Promise<User>;
  find(id: UserId): Promise<User | undefined>;
  findAccount(reference: AccountReference): Promise<Account | undefined>;
  /**
   * Remembers the network of a refresh while its session is live. It replaces the oldest network of a refresh, and never a
   * network where the password was used.
   */
  rememberNetwork(refresh: { userId: UserId; sessionId: SessionId } & KnownNetwork): Promise<void>;
  /**
   * Sets the hash, raises the epoch and forgets all known networks except the given one, if the password has not been changed
   * since the given epoch.
   * @returns the revocation of the tokens of lower epochs, from the same transaction; `undefined` otherwise
   */
  changePassword(change: {
    id: UserId;
    epoch: number;
    passwordHash: string;
    network: Network | null;
  }): Promise<Revocation | undefined>;
  /** @returns the token epoch; `undefined` if the password was changed since the given epoch, or the user deleted */
  currentEpoch(id: UserId, epoch: number): Promise<number | undefined>;
  /**
   * Raises the epoch above the given one, if it is not yet.
   * @returns the revocation of the tokens of lower epochs, from the same transaction; `undefined` if the user was deleted
   */
  raiseEpochAbove(id: UserId, epoch: number): Promise<Revocation | undefined>;
  /**
   * Raises the epoch, if the password has not been changed since the given one.
   * @returns the revocation of the tokens of lower epochs, from the same transaction; `undefined` otherwise
   */
  raiseEpoch(id: UserId, epoch: number): Promise<Revocation | undefined>;
  /** Replaces a hash by another hash of the same password, if it is still the given one. Tokens stay valid. */
  upgradeHash(id: UserId, from: string, to: string): Promise<void>;
  /**
   * Deletes the user, if the password has not been changed since the given epoch.
   * @returns the revocation of all tokens, from the same transaction; `undefined` otherwise
   */
  delete(id: UserId, epoch: number): Promise<Revocation | undefined>;
};
