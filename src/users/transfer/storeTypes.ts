/** The types of the store that imports and exports users. */
import type { CanonicalUsername, UserId } from "../../identifiers.ts";
import type { UserRow } from "./userRow.ts";

/** The members have the order of `memberNames`. */
export type ExportedUser = {
  id: UserId;
  username: string;
  password_hash: string;
  created_at: string;
  blocked: boolean;
  roles: string[];
};

export type IdentifiedUser = { id: UserId; username: CanonicalUsername };

/** Each method may throw the problem `database-unavailable`. */
export type TransferStore = {
  roleNames(): Promise<string[]>;
  /**
   * Inserts the users whose name and id are free, in one statement. It does not bring back an id whose deletion is still in the
   * revocation list: its tokens would be rejected.
   * @returns those that were inserted
   */
  insert(rows: readonly (UserRow & { id: UserId })[]): Promise<IdentifiedUser[]>;
  /** Finds the users that have one of the names or one of the ids. */
  findAny(rows: readonly { id: UserId | undefined; username: CanonicalUsername }[]): Promise<IdentifiedUser[]>;
  /** @returns those ids of deleted users that `insert` does not bring back */
  findEndedIds(rows: readonly { id: UserId | undefined }[]): Promise<string[]>;
  /** Reads a page of users, in the order of their ids. @param after the last id of the previous page */
  readPage(after: UserId | undefined): Promise<ExportedUser[]>;
};
