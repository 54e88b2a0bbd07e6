/** The types of the store of API keys. */
import type { ApiKeyId, UserId } from "../identifiers.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { ApiKeyDigest, NewSecret } from "./format.ts";

/** A secret without its text. */
export type ApiKeySecret = {
  lastFour: string;
  createdAt: Date;
  /** The end of the overlap after a rotation; null for the newest secret. */
  expiresAt: Date | null;
  /** To the minute. */
  lastUsedAt: Date | null;
  lastUsedNetwork: string | null;
};

export type ApiKey = {
  id: ApiKeyId;
  name: string;
  scopes: string[];
  createdAt: Date;
  expiresAt: Date | null;
  /** The newest first. Without those whose overlap has ended. */
  secrets: ApiKeySecret[];
};

/**
 * The owner of a key, who must still be allowed to make it when the statement holds the owner's row: not blocked, and without
 * a newer epoch.
 */
export type Owner = {
  userId: UserId;
  /** The epoch of the credential. */
  epoch: number;
  /** Whether the epoch is that of a token, which every sign-out ends, or of a password, which only its change ends. */
  isToken: boolean;
};

export type ApiKeyChange = {
  name?: string | undefined;
  scopes?: readonly string[] | undefined;
  expiresAt?: Date | null;
};

/** Identifies a key, and the scopes that the caller was allowed to grant. */
export type SeenKey = { id: ApiKeyId; userId: UserId; scopes: readonly string[] };

/** Each method may throw the problem `database-unavailable`. */
export type ApiKeyStore = {
  /**
   * Stores a key with its first secret.
   * @returns `undefined` if the credential of the owner is no longer valid; `"too-many"` if the owner has `limit` keys already
   */
  insert(
    owner: Owner,
    key: { id: ApiKeyId; name: string; scopes: readonly string[]; expiresAt: Date | null },
    secret: NewSecret,
    limit: number,
  ): Promise<ApiKey | "too-many" | undefined>;
  /** The owner's keys, newest first, that are older than `after`. */
  list(userId: UserId, limit: number, after: string | undefined): Promise<ApiKey[]>;
  find(userId: UserId, id: ApiKeyId): Promise<ApiKey | undefined>;
  /** @returns `undefined` if there is no such key, or it has other scopes by now */
  update(key: SeenKey, change: ApiKeyChange): Promise<Revocation | undefined>;
  /**
   * Adds a secret. The newest one so far is accepted for `overlapSeconds` more, every other one ends.
   * @returns `undefined` if the credential of the owner is no longer valid; `"changed"` if there is no such key, or it has
   * other scopes by now
   */
  rotate(
    owner: Owner,
    key: SeenKey,
    secret: NewSecret,
    overlapSeconds: number,
  ): Promise<{ key: ApiKey; revocation: Revocation } | "changed" | undefined>;
  /** @returns `undefined` if there is no such key */
  delete(userId: UserId, id: ApiKeyId): Promise<Revocation | undefined>;
  /** Deletes the key with this secret, if it is valid. */
  deleteByDigest(digest: ApiKeyDigest): Promise<{ id: ApiKeyId; userId: UserId; revocation: Revocation } | undefined>;
  hasUser(userId: UserId): Promise<boolean>;
};
