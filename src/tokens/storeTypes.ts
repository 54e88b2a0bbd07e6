/** The types of the signing key store. */
import type { Revocation } from "../revocations/revocations.ts";

/** `privateJwe`: the private key, encrypted under `SECRET_KEY` (sealing.ts). */
export type SealedKey = { kid: string; privateJwe: string };
export type StoredKey = SealedKey & { createdAt: Date; activatesAt: Date; revokedAt: Date | null };

/** Every method may throw the problem `database-unavailable`. */
export type SigningKeyStore = {
  /** All keys, the one that signs last first. */
  findAll(): Promise<StoredKey[]>;
  /** The time of the database. */
  now(): Promise<Date>;
  /** Whether the next key is missing: no key begins to sign after those that are about to sign. */
  lacksNextKey(): Promise<boolean>;
  /**
   * Stores a key that signs after all others. The first key signs at once; any other key when the one before it has signed for
   * `rotationSeconds`. Does nothing if the next key exists, so that one of several concurrent calls succeeds.
   * @returns whether the key was stored
   */
  append(key: SealedKey, rotationSeconds: number): Promise<boolean>;
  /**
   * Lets the next key sign as soon as it has been published for long enough.
   * @param rotationSeconds if given, it does nothing unless the current key has signed for that time and no other is about to
   * sign
   * @returns the next key; `undefined` if nothing was changed
   */
  advance(rotationSeconds?: number): Promise<StoredKey | undefined>;
  /** Lets the next key sign now, if none signs. */
  promote(): Promise<void>;
  /** Replaces the encrypted form of a key. */
  reseal(key: SealedKey): Promise<void>;
  /**
   * Revokes a key. If it was the signing key, the next key signs from now on.
   * @returns the revocation of its tokens, stored in the same transaction; `undefined` if there is no such key
   */
  revoke(kid: string): Promise<Revocation | undefined>;
};
