/** The types of the store of grants. */
import type { ClientId, GrantId, UserId } from "../../identifiers.ts";
import type { Revocation } from "../../revocations/revocations.ts";

/** What a user allows a client. */
export type UserGrant = {
  id: GrantId;
  clientId: ClientId;
  clientName: string;
  audience: string;
  scopes: string[];
  createdAt: Date;
  updatedAt: Date;
};

export type DeletedGrant = Pick<UserGrant, "clientId" | "audience" | "scopes"> & { revocations: Revocation[] };

/** Each method may throw the problem `database-unavailable`. */
export type UserGrantStore = {
  /** The newest first. With a cursor, those after it in this order. */
  list(userId: UserId, limit: number, cursor: string | undefined): Promise<UserGrant[]>;
  /**
   * Deletes a grant of the user with its codes, and ends its sessions.
   * @returns the grant, and the revocations of the tokens from the same transaction; `undefined` if the user has no such grant
   */
  delete(userId: UserId, id: GrantId): Promise<DeletedGrant | undefined>;
};
