/** What is kept of users. */
import type { Revocation } from "../revocations/revocations.ts";

export type User = { id: string; username: string; createdAt: Date };

/** A user as sign-in needs it. */
export type Account = {
  id: string;
  username: string;
  passwordHash: string;
  tokenEpoch: number;
};

/** A network from which an account is used. `key`: identifies account and network when a password is checked. */
export type FamiliarNetwork = { network: string; key: string };

/** What is kept of users. Every method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: string; username: string; passwordHash: string } & FamiliarNetwork): Promise<User>;
  find(id: string): Promise<User | undefined>;
  findAccount(by: { id: string } | { username: string }): Promise<Account | undefined>;
  /**
   * Remembers a network. Beyond the limit, the oldest that were learned from refreshes are forgotten first, then the
   * oldest others.
   * @param sessionId of the session that was refreshed there; absent where the password was used. A refresh is
   * remembered only while its session lives, and never replaces a network where the password was used
   */
  rememberNetwork(id: string, familiar: FamiliarNetwork, sessionId: string | undefined): Promise<void>;
  /**
   * Sets the hash, raises the epoch and forgets all networks but the given one, if the password has not been changed
   * since the given epoch.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  changePassword(id: string, epoch: number, passwordHash: string, network: string): Promise<Revocation | undefined>;
  /** @returns the user's epoch; `undefined` where the password was changed since the given one, or the user deleted */
  currentEpoch(id: string, epoch: number): Promise<number | undefined>;
  /**
   * Makes the epoch higher than the given one, if it is not yet.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` without a user
   */
  endEpoch(id: string, epoch: number): Promise<Revocation | undefined>;
  /**
   * Raises the epoch, if the password has not been changed since the given one.
   * @returns the revocation of the tokens of lower epochs, kept in the same transaction; `undefined` otherwise
   */
  raiseEpoch(id: string, epoch: number): Promise<Revocation | undefined>;
  /** Replaces a hash by one of the same password, if it is still the given one. The epochs stay as they are. */
  upgradeHash(id: string, from: string, to: string): Promise<void>;
  /**
   * Deletes the user, if the password has not been changed since the given epoch.
   * @returns the revocation of all tokens, kept in the same transaction; `undefined` otherwise
   */
  delete(id: string, epoch: number): Promise<Revocation | undefined>;
};
