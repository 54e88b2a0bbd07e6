/** The types of the user store. */
import type { ApiKeyId, CanonicalUsername, Network, SessionId, UserId } from "../identifiers.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { Account, AccountReference } from "../throttling/storeTypes.ts";

export type User = {
  id: UserId;
  username: CanonicalUsername;
  createdAt: Date;
  isBlocked: boolean;
  /** The names of the assigned roles, in their order: without `default`, which every user has. */
  roles: string[];
  /** Increases with each change of `isBlocked` and `roles`, except the deletion of a role. */
  version: number;
};

/** A network that is known to an account. `key` identifies the pair of account and network in a sign-in. */
export type KnownNetwork = { network: Network; key: string };

/** What a change of the password ends. */
export type PasswordChange = {
  /** The revocation of the tokens of lower epochs, and the entry that makes instances forget the user's API keys. */
  revocation: Revocation;
  deletedApiKeys: ApiKeyId[];
};

/** Each method may throw the problem `database-unavailable`. */
export type UserStore = {
  /** @throws {Problem} `username-taken` */
  insert(user: { id: UserId; username: CanonicalUsername; passwordHash: string } & KnownNetwork): Promise<User>;
  find(id: UserId): Promise<User | undefined>;
  findAccount(reference: AccountReference): Promise<Account | undefined>;
  /**
   * Remembers the network of a refresh if its session is live. If there are too many, it replaces the oldest network of a
   * refresh, and never a network where the password was used.
   */
  rememberNetwork(refresh: { userId: UserId; sessionId: SessionId } & KnownNetwork): Promise<void>;
  /**
   * Unless the password was changed after the given epoch: sets the hash, raises the epoch, forgets all known networks
   * except the given one, and deletes the API keys unless they are kept. All in one transaction.
   * @returns `undefined` if nothing was changed
   */
  changePassword(change: {
    id: UserId;
    epoch: number;
    passwordHash: string;
    network: Network;
    keepApiKeys: boolean;
  }): Promise<PasswordChange | undefined>;
  /** @returns the token epoch; `undefined` if the password was changed after the given epoch, or the user was deleted */
  currentEpoch(id: UserId, epoch: number): Promise<number | undefined>;
  /**
   * Raises the epoch above the given one. Does nothing to an epoch that is already higher.
   * @returns the revocation of the tokens of lower epochs, from the same transaction; `undefined` if the user was deleted
   */
  raiseEpochAbove(id: UserId, epoch: number): Promise<Revocation | undefined>;
  /**
   * Raises the epoch, unless the password was changed after the given epoch.
   * @returns the revocation of the tokens of lower epochs, from the same transaction; `undefined` if nothing was changed
   */
  raiseEpoch(id: UserId, epoch: number): Promise<Revocation | undefined>;
  /** Replaces the hash `from` by another hash of the same password. Tokens stay valid. */
  upgradeHash(id: UserId, from: string, to: string): Promise<void>;
  /**
   * Deletes the user, unless the password was changed after the given epoch.
   * @returns the revocation of all tokens, from the same transaction; `undefined` if nothing was deleted
   * @throws {Problem} `last-administrator`
   */
  delete(id: UserId, epoch: number): Promise<Revocation | undefined>;
};
