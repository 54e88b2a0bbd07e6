/** Grants: what a user allows clients. The user sees them, and can withdraw them. */
import type { Audit } from "../../audit/audit.ts";
import type { GrantId, UserId } from "../../identifiers.ts";
import { type Page, readPage } from "../../lib/page.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import type { UserGrant, UserGrantStore } from "./storeTypes.ts";

export type UserGrants = {
  /** The newest first. The cursors are ids. */
  list(userId: UserId, limit: number, after: string | undefined): Promise<Page<UserGrant>>;
  /** Deletes a grant, and revokes its sessions, codes and tokens. @returns whether the user had such a grant */
  delete(userId: UserId, id: GrantId): Promise<boolean>;
};

type Parts = {
  store: UserGrantStore;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

export const createUserGrants = ({ store, enforce, audit }: Parts): UserGrants => ({
  list: (userId, limit, after) =>
    readPage(
      limit,
      (count) => store.list(userId, count, after),
      ({ id }) => id,
    ),

  async delete(userId, id) {
    const deleted = await store.delete(userId, id);
    if (!deleted) return false;
    const { clientId, audience, scopes, revocations } = deleted;
    for (const revocation of revocations) enforce(revocation);
    audit("grant-deleted", { userId, clientId, audience, scope: scopes.join(" ") });
    return true;
  },
});
