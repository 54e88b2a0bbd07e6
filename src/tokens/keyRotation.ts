/**
 * The rotation of signing keys. The next key is published before it signs, for longer than a JWK Set may be cached. So verifiers
 * already know it, and it can sign at once if the current key is revoked.
 */
import { defaultAlgorithm, type SigningAlgorithm } from "./algorithms.ts";
import { makeKey, type Seal } from "./sealing.ts";
import type { SealedKey, SigningKeyStore, StoredKey } from "./storeTypes.ts";

/** Longer than the JWK Set may be cached (`max-age` in the contract) plus the interval at which instances read the keys. */
export const publishedBeforeSigningSeconds = 360;
/** A key's successor is published this long before the key signs, so that the successor can replace the key at once. */
export const preparedBeforeSigningSeconds = 2 * publishedBeforeSigningSeconds;

export const usableKeys = <Key extends StoredKey>(keys: Iterable<Key>): Key[] =>
  [...keys].filter(({ revokedAt }) => !revokedAt);

/**
 * The key that signs.
 * @param usable keys that are not revoked, the one that signs last first
 */
export function signingKey<Key extends StoredKey>(usable: readonly Key[], nowMs: number): Key | undefined {
  // If all other keys are revoked, the next key signs early.
  return usable.find(({ activatesAt }) => activatesAt.getTime() <= nowMs) ?? usable.at(-1);
}

/** `at`: when the state began. For `next`, when the key begins to sign. */
export type KeyState = { state: "next" | "signing" | "retired" | "revoked"; at: Date };

/** @param keys all keys, the one that signs last first */
export function keyStates(keys: readonly StoredKey[], now: Date): (StoredKey & KeyState)[] {
  const signing = signingKey(usableKeys(keys), now.getTime());
  let replacedAt = now;
  return keys.map((key) => {
    const { revokedAt, activatesAt } = key;
    const successorAt = replacedAt;
    if (activatesAt <= now) replacedAt = activatesAt;
    if (revokedAt) return { ...key, state: "revoked", at: revokedAt };
    if (key === signing) return { ...key, state: "signing", at: activatesAt };
    if (activatesAt > now) return { ...key, state: "next", at: activatesAt };
    return { ...key, state: "retired", at: successorAt };
  });
}

export type Rotation = {
  store: SigningKeyStore;
  seal: Seal;
  /** How long a key signs. */
  rotationSeconds: number;
  /** `SIGNING_ALG`. By default, a database keeps its algorithm. */
  algorithm?: SigningAlgorithm | undefined;
};

/**
 * Makes the next key if it is missing. If there is no key at all, first makes one that signs at once. Only this first one depends
 * on `SIGNING_ALG`: others have the algorithm of the key before them, so that instances with different settings agree.
 * @returns whether this call made a key
 */
export async function prepareNextKey({ store, seal, rotationSeconds, algorithm }: Rotation): Promise<boolean> {
  let made = false;
  // At most three: the first key, a key that is due already, and the one after it.
  for (let count = 0; count < 3; count += 1) {
    const next = await store.findNextKey();
    if (!next.isMissing) break;
    const key = await makeKey(next.algorithm ?? algorithm ?? defaultAlgorithm, seal);
    made = (await store.append(key, rotationSeconds)) || made;
  }
  return made;
}

/**
 * Makes a key and its successor, which replace all others. They have the algorithm of `SIGNING_ALG`, or else that of the existing
 * keys.
 */
export async function makeNewKeys({ store, seal, algorithm }: Rotation): Promise<[SealedKey, SealedKey]> {
  const chosen = algorithm ?? (await store.findNextKey()).algorithm ?? defaultAlgorithm;
  return [await makeKey(chosen, seal), await makeKey(chosen, seal)];
}

/**
 * If `SIGNING_ALG` is set and the keys have another algorithm, makes a key with this one, and its successor. Only a start and a
 * command call it. If the poller did, instances with different settings would undo each other's changes for ever.
 * @returns the key that begins to use the algorithm, if anything was changed
 */
export async function adoptAlgorithm(rotation: Rotation): Promise<StoredKey | undefined> {
  const { store, seal, algorithm } = rotation;
  if (algorithm === undefined || (await store.findNextKey()).algorithm === algorithm) return undefined;
  const first = await store.changeAlgorithm(await makeKey(algorithm, seal));
  await prepareNextKey(rotation);
  return first;
}

/**
 * Advances the next key and prepares its successor, if they are due.
 * @param keys the keys that this instance knows, the one that signs last first
 * @returns whether the stored keys were changed. `rotatedTo`: the id of the key that signs next, if this instance changed the
 * keys
 */
export async function rotateIfDue(
  keys: readonly StoredKey[],
  nowMs: number,
  rotation: Rotation,
): Promise<{ changed: boolean; rotatedTo: string | undefined }> {
  const { store, rotationSeconds } = rotation;
  const usable = usableKeys(keys);
  const signing = signingKey(usable, nowMs);
  if (!signing || signing.activatesAt.getTime() > nowMs) await store.promote(); // an earlier version revoked all other keys
  const isPrepared = (key: StoredKey) => key.activatesAt.getTime() > nowMs + preparedBeforeSigningSeconds * 1000;
  const isDue = signing && signing.activatesAt.getTime() + rotationSeconds * 1000 <= nowMs;
  if (!isDue && usable.some(isPrepared)) return { changed: false, rotatedTo: undefined };
  const advanced = isDue ? await store.advance(rotationSeconds) : undefined; // KEY_ROTATION_DAYS was lowered
  const upcoming = advanced ?? usable.find(({ activatesAt }) => activatesAt.getTime() > nowMs);
  const made = await prepareNextKey(rotation);
  const changed = advanced !== undefined || made;
  return { changed, rotatedTo: changed ? upcoming?.kid : undefined };
}

/**
 * Lets the next key sign as soon as it has been published for long enough, and prepares the one after it. If the keys have another
 * algorithm than `SIGNING_ALG`, changes it instead.
 * @returns the key that signs next
 */
export async function rotateKeys(rotation: Rotation): Promise<StoredKey> {
  await prepareNextKey(rotation);
  let next = await adoptAlgorithm(rotation);
  while (!next) {
    await prepareNextKey(rotation);
    next = await rotation.store.advance(); // `undefined` if another process has just advanced it
  }
  await prepareNextKey(rotation);
  return next;
}
