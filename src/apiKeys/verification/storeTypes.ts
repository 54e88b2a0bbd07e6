/** The types of the store for the verification of API keys. */
import type { ApiKeyId, CanonicalUsername, Network, UserId } from "../../identifiers.ts";
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

export type LastUse = { digest: ApiKeyDigest; at: Date; network: Network | null };

/** Each method may throw the problem `database-unavailable`. */
export type VerificationStore = {
  /** @returns `undefined` if there is no such secret */
  findByDigest(digest: ApiKeyDigest): Promise<StoredKey | undefined>;
  /** Records uses, unless a use in the same minute or later is recorded. Does not wait for locked rows. */
  recordUses(uses: readonly LastUse[]): Promise<void>;
};
