/** The types of the store for the verification of API keys. */
import type { ApiKeyId, CanonicalUsername, UserId } from "../../identifiers.ts";
import type { LastUseStore } from "../../lib/lastUses.ts";
import type { ApiKeyDigest } from "../format.ts";

/** What a check of a key needs. */
export type StoredKey = {
  id: ApiKeyId;
  userId: UserId;
  username: CanonicalUsername;
  epoch: number;
  isBlocked: boolean;
  scopes: string[];
  expiresAt: Date | null;
  secretExpiresAt: Date | null;
};

/** Each method may throw the problem `database-unavailable`. */
export type VerificationStore = LastUseStore & {
  /** @returns `undefined` if there is no such secret */
  findByDigest(digest: ApiKeyDigest): Promise<StoredKey | undefined>;
};
