/**
 * The rotation of signing keys. The next key is published before it signs, for longer than a JWK Set may be cached. So verifiers
 * already know it, and it can sign at once if the current key is revoked.
 */
import { makeKey, type Seal } from "./sealing.ts";
import type { SigningKeyStore, StoredKey } from "./storeTypes.ts";

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

/**
 * Makes the next key if it is missing. If there is no key at all, first makes one that signs at once.
 * @returns whether this call made a key
 */
export async function prepareNextKey(store: SigningKeyStore, seal: Seal, rotationSeconds: number): Promise<boolean> {
  let made = false;
  // At most three: the first key, a key that is due already, and the one after it.
  for (let count = 0; count < 3 && (await store.lacksNextKey()); count += 1)
    made = (await store.append(await makeKey(seal), rotationSeconds)) || made;
  return made;
}

type Rotation = { store: SigningKeyStore; seal: Seal; rotationSeconds: number };

/**
 * Advances the next key and prepares its successor, if they are due.
 * @param keys the keys that this instance knows, the one that signs last first
 * @returns whether the stored keys were changed. `rotatedTo`: the id of the key that signs next, if this instance changed the
 * keys
 */
export async function rotateIfDue(
  keys: readonly StoredKey[],
  nowMs: number,
  { store, seal, rotationSeconds }: Rotation,
): Promise<{ changed: boolean; rotatedTo: string | undefined }> {
  const usable = usableKeys(keys);
  const signing = signingKey(usable, nowMs);
  if (!signing || signing.activatesAt.getTime() > nowMs) await store.promote(); // an earlier version revoked all other keys
  const isPrepared = (key: StoredKey) => key.activatesAt.getTime() > nowMs + preparedBeforeSigningSeconds * 1000;
  const isDue = signing && signing.activatesAt.getTime() + rotationSeconds * 1000 <= nowMs;
  if (!isDue && usable.some(isPrepared)) return { changed: false, rotatedTo: undefined };
  const advanced = isDue ? await store.advance(rotationSeconds) : undefined; // KEY_ROTATION_DAYS was lowered
  const upcoming = advanced ?? usable.find(({ activatesAt }) => activatesAt.getTime() > nowMs);
  const made = await prepareNextKey(store, seal, rotationSeconds);
  const changed = advanced !== undefined || made;
  return { changed, rotatedTo: changed ? upcoming?.kid : undefined };
}

/**
 * Lets the next key sign as soon as it has been published for long enough, and prepares the one after it.
 * @returns the next key
 */
export async function rotateKeys({ store, seal, rotationSeconds }: Rotation): Promise<StoredKey> {
  let next: StoredKey | undefined;
  while (!next) {
    await prepareNextKey(store, seal, rotationSeconds);
    next = await store.advance(); // `undefined` if another process has just advanced it
  }
  await prepareNextKey(store, seal, rotationSeconds);
  return next;
}
