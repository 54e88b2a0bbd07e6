/** The types of the signing key store. */
import type { Revocation } from "../revocations/revocations.ts";
import type { SigningAlgorithm } from "./algorithms.ts";

/**
 * `privateJwe`: the private key, encrypted under `SECRET_KEY` (sealing.ts). `algorithm` decides which key is made next. A token is
 * verified with the algorithm of the private key.
 */
export type SealedKey = { kid: string; algorithm: SigningAlgorithm; privateJwe: string };
export type StoredKey = SealedKey & { createdAt: Date; activatesAt: Date; revokedAt: Date | null };

/** Every method may throw the problem `database-unavailable`. */
export type SigningKeyStore = {
  /** All keys, the one that signs last first. */
  findAll(): Promise<StoredKey[]>;
  /** The time of the database. */
  now(): Promise<Date>;
  /**
   * `isMissing`: whether the next key is missing: no key begins to sign after those that are about to sign. `algorithm`: that of
   * the key that signs last; if all keys are revoked, of the last of them; `undefined` if there is no key.
   */
  findNextKey(): Promise<{ isMissing: boolean; algorithm: SigningAlgorithm | undefined }>;
  /**
   * Stores a key that signs after all others. The first key signs at once; any other key when the one before it has signed for
   * `rotationSeconds`. Does nothing if the next key exists, or if the key before it has another algorithm, so that one of several
   * concurrent calls succeeds.
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
  /**
   * Stores a key of another algorithm, which signs as soon as it has been published for long enough. The next key signs right
   * before it: if the signing key is revoked meanwhile, verifiers know the next key. Other keys that have not signed yet are
   * deleted. If the next key has the wanted algorithm, because the change to another one has just begun, it signs instead, and no
   * key is stored.
   * @returns the key that begins to use the algorithm; `undefined` if the key that signs last has this algorithm
   */
  changeAlgorithm(key: SealedKey): Promise<StoredKey | undefined>;
  /** Lets the next key sign now, if none signs. */
  promote(): Promise<void>;
  /** Replaces the encrypted form of a key. */
  reseal(key: Pick<SealedKey, "kid" | "privateJwe">): Promise<void>;
  /**
   * Revokes a key. If it was the signing key, the next key signs from now on.
   * @returns the revocation of its tokens, stored in the same transaction; `undefined` if there is no such key
   */
  revoke(kid: string): Promise<Revocation | undefined>;
};
