/** The types of the administration's store. */
import type { ApiKeyId, CanonicalUsername, UserId } from "../../identifiers.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import type { PasswordChange, User } from "../storeTypes.ts";

export type Role = { name: string; scopes: string[] };

/** A user, with the scopes of the assigned roles. */
export type AdministeredUser = User & { assignedRoles: Role[] };

/** Which users to list. All of them must match. */
export type UserFilter = {
  username?: CanonicalUsername | undefined;
  /** In the form that is stored. */
  usernamePrefix?: string | undefined;
  isBlocked?: boolean | undefined;
  role?: string | undefined;
};

export type UserChange = { isBlocked?: boolean | undefined; roles?: readonly string[] | undefined };

/**
 * Decides about a change of a user who is locked until the change is committed, so that nothing else changes the user or the
 * roles meanwhile. Throws to prevent the change.
 */
export type Decision = (user: AdministeredUser) => void;

/** A change of a user. `reason`: who makes it, for the audit event. */
export type LockedChange = { id: UserId; decide: Decision; reason: string };

/**
 * A change and its audit events are stored in one transaction, with the revocations that it requires. It returns `undefined`
 * if there is no such user, and throws the problem `last-administrator` if no administrator would be left. Each method may
 * throw the problem `database-unavailable`.
 */
export type AdministrationStore = {
  /** At most `limit` users in the order of their names, by code point. With `after`, those behind this name. */
  list(filter: UserFilter, limit: number, after: string | undefined): Promise<User[]>;
  find(id: UserId): Promise<AdministeredUser | undefined>;
  /** The roles that exist, among those with the given names. */
  findRoles(names: readonly string[]): Promise<Role[]>;
  /** @throws {Problem} `username-taken`, and `UnknownRole` */
  create(user: {
    id: UserId;
    username: CanonicalUsername;
    passwordHash: string;
    roles: readonly string[];
    reason: string;
  }): Promise<User>;
  /**
   * Blocks or unblocks the user, and replaces the assigned roles. Blocking deletes the API keys. Raises the version if
   * anything changes.
   * @throws {UnknownRole}
   */
  change(
    change: LockedChange & UserChange,
  ): Promise<{ before: User; after: User; revocations: Revocation[]; deletedApiKeys: ApiKeyId[] } | undefined>;
  /** Sets the hash, revokes all tokens, forgets all known networks, and deletes the API keys unless they are kept. */
  setPassword(
    change: LockedChange & { passwordHash: string; keepApiKeys: boolean },
  ): Promise<PasswordChange | undefined>;
  /** Revokes all tokens and sessions. */
  signOut(change: LockedChange): Promise<Revocation | undefined>;
  delete(change: LockedChange): Promise<Revocation | undefined>;
};

/** A role was deleted after it was found. */
export class UnknownRole extends Error {}
