/**
 * The Ed25519 keys that tokens are signed with: kept sealed in the database, public as a JWK Set, and
 * replaced by themselves while the service runs.
 *
 * The key that signs next is always published already, for longer than a JWK Set may be cached. So it can sign at once when
 * the present one is revoked, and verifiers know it. A key stays published until the last token that it
 * signed has expired.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import type { components } from "../../generated/openapi.ts";
import { ConfigError } from "../errors.ts";
import { Problem } from "../problems/problems.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { Seal } from "./sealing.ts";

type PublicJwk = components["schemas"]["Jwk"];

export type SealedKey = { kid: string; privateJwe: string };
export type StoredKey = SealedKey & { createdAt: Date; activatesAt: Date; revokedAt: Date | null };

export type SigningKeyStore = {
  /** All that are kept, those that sign last first. */
  findAll(): Promise<StoredKey[]>;
  /** The time of the database. */
  now(): Promise<Date>;
  /** Whether no key is left that signs later than those which are about to. */
  lacksSuccessor(): Promise<boolean>;
  /**
   * Keeps a key that signs after all others: at once where there is no other, otherwise when the last one has signed for as
   * long as given. Does nothing where a successor is there already: of many that ask at once, one succeeds.
   * @returns whether it was kept
   */
  append(key: SealedKey, rotationSeconds: number): Promise<boolean>;
  /**
   * Lets the successor sign as soon as it has been published for long enough.
   * @param rotationSeconds only where the present key has signed for so long, and no other is about to sign
   * @returns the key; `undefined` where there is none to advance
   */
  advance(rotationSeconds?: number): Promise<StoredKey | undefined>;
  /** Lets the next key sign now where none signs. */
  promote(): Promise<void>;
  /** Seals a key anew. */
  reseal(key: SealedKey): Promise<void>;
  /**
   * Revokes a key. Where it was the one that signs, the next one signs from then on.
   * @returns the revocation of its tokens, kept in the same transaction; `undefined` where there is no such key
   */
  revoke(kid: string): Promise<Revocation | undefined>;
};

export type SigningKeys = {
  /** What new tokens are signed with. @throws {Problem} `overloaded` where no key can be opened */
  signing(): { kid: string; key: CryptoKey };
  /**
   * The public half of a key, and whether it is revoked. An unknown key is looked up in the database, which delays the
   * caller by 100 ms at most.
   * @throws {Problem} `database-unavailable` where the database did not answer in that time
   */
  find(kid: string): VerificationKey | undefined | Promise<VerificationKey | undefined>;
  jwks(): { keys: PublicJwk[] };
  /** Looks for changes now. */
  wake(): void;
  close(): Promise<void>;
};

export type VerificationKey = { key: CryptoKey; isRevoked: boolean };

/** The signing keys cannot be opened: this `SECRET_KEY` is not the one that they were sealed under. */
export class SealedKeysError extends ConfigError {}

/** Longer than the JWK Set may be cached (`max-age` in the contract) and another instance may not have looked. */
export const publishedBeforeSigningSeconds = 360;
/** A key's successor is published this long before the key signs, so that it can be used at once. */
export const preparedBeforeSigningSeconds = 2 * publishedBeforeSigningSeconds;
const followEveryMs = 30_000;
/** How often the database is read for unknown keys, however many tokens name one. */
const unknownKeyIntervalMs = 50;
/** The interval, and a query of a healthy database. */
const unknownKeyTimeoutMs = 100;

type KnownKey = StoredKey & { publicJwk: PublicJwk; publicKey: CryptoKey; privateKey: CryptoKey };

/**
 * Loads the keys, makes the first ones where there are none, and follows and rotates them until `close`.
 * @param rotationSeconds for how long a key signs
 * @param reportRotation is called with the key that is about to sign, by the instance that prepared it
 * @throws {SealedKeysError}
 */
export async function followSigningKeys(
  store: SigningKeyStore,
  seal: Seal,
  rotationSeconds: number,
  clock: () => Date,
  reportRotation: (kid: string) => void,
  warn: (error: unknown) => void,
): Promise<SigningKeys> {
  let known = new Map<string, KnownKey>();

  const unopened = (error: unknown): undefined => {
    if (known.size === 0) throw error;
    warn(error);
  };
  const load = async (): Promise<void> => {
    const loaded = new Map<string, KnownKey>();
    for (const stored of await store.findAll()) {
      const before = known.get(stored.kid);
      // A key that only another SECRET_KEY opens stops the start, but not a service that is running
      // well without it; a revoked one does neither.
      const opened = before ?? (await open(stored, seal, store).catch(stored.revokedAt ? () => undefined : unopened));
      if (opened) loaded.set(stored.kid, { ...opened, ...stored });
    }
    known = loaded;
  };
  const rotateIfDue = async (): Promise<void> => {
    const now = clock().getTime();
    const signing = signingKey(usable(), now);
    if (!signing || signing.activatesAt.getTime() > now) await store.promote(); // an earlier version has revoked all others
    const isPrepared = (key: StoredKey) => key.activatesAt.getTime() > now + preparedBeforeSigningSeconds * 1000;
    const isOld = signing && signing.activatesAt.getTime() + rotationSeconds * 1000 <= now;
    if (!isOld && usable().some(isPrepared)) return;
    const next = isOld ? await store.advance(rotationSeconds) : undefined; // rotation was made more frequent
    const pending = next ?? usable().find(({ activatesAt }) => activatesAt.getTime() > now);
    const isMine = await prepareSuccessor(store, seal, rotationSeconds);
    if (pending && (next || isMine)) reportRotation(pending.kid);
    if (next || isMine) await load();
  };
  const usable = () => [...known.values()].filter(({ revokedAt }) => !revokedAt);

  await prepareSuccessor(store, seal, rotationSeconds);
  await load();

  // One look at a time. Who asks during a look gets the next one: the first may have been too early.
  let looking: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  let upcoming: Promise<void> | undefined;
  let lastLook = performance.now();
  const look = (): Promise<void> => {
    next ??= looking.then(async () => {
      next = undefined;
      lastLook = performance.now();
      await load();
      await rotateIfDue();
    });
    looking = next.catch(() => {});
    return next;
  };
  const wake = (): void => {
    look().catch(warn);
  };
  const timer = setInterval(wake, followEveryMs);

  const verificationKey = (kid: string): VerificationKey | undefined => {
    const found = known.get(kid);
    return found && { key: found.publicKey, isRevoked: found.revokedAt !== null };
  };

  return {
    signing() {
      const signing = signingKey(usable(), clock().getTime());
      // Every key was revoked, and the new one is sealed under another SECRET_KEY: this instance has to be restarted.
      if (!signing) throw new Problem("overloaded", { cause: new Error("No signing key can be opened.") });
      return { kid: signing.kid, key: signing.privateKey };
    },
    find: (kid) => verificationKey(kid) ?? findAfterLook(kid),
    jwks: () => ({ keys: usable().map(({ publicJwk }) => publicJwk) }),
    wake,
    async close() {
      clearInterval(timer);
      await looking;
    },
  };

  /** A key may be newer than the last look. Tokens with invented ids share one look, and none waits for a slow database. */
  async function findAfterLook(kid: string): Promise<VerificationKey | undefined> {
    const timeout = new AbortController();
    const timedOut = sleep(unknownKeyTimeoutMs, undefined, timeout).then(() => {
      throw new Problem("database-unavailable", { cause: new Error("The signing keys were not read in time.") });
    });
    await Promise.race([upcomingLook(), timedOut]).finally(() => timeout.abort());
    return verificationKey(kid);
  }

  /** A look that has not begun yet, the same one for all callers. */
  function upcomingLook(): Promise<void> {
    upcoming ??= sleep(Math.max(0, lastLook + unknownKeyIntervalMs - performance.now())).then(() => {
      upcoming = undefined;
      return look();
    });
    return upcoming;
  }
}

/**
 * The key that signs, of those that are not revoked.
 * @param usable those that sign last first
 */
function signingKey<Key extends StoredKey>(usable: readonly Key[], nowMs: number): Key | undefined {
  // Where all others are revoked, the next one signs before its time, rather than none.
  return usable.find(({ activatesAt }) => activatesAt.getTime() <= nowMs) ?? usable.at(-1);
}

/** What a key is for now, and since when (for `next`: from when on). */
export type KeyState = { state: "next" | "signing" | "retired" | "revoked"; at: Date };

/** @param keys all that are kept, those that sign last first */
export function keyStates(keys: readonly StoredKey[], now: Date): (StoredKey & KeyState)[] {
  const signing = signingKey(
    keys.filter(({ revokedAt }) => !revokedAt),
    now.getTime(),
  );
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
 * Makes the key that signs next where it is missing, and the first one, which signs at once, where there is none.
 * @returns whether one was made here
 */
export async function prepareSuccessor(store: SigningKeyStore, seal: Seal, rotationSeconds: number): Promise<boolean> {
  let isMine = false;
  // The first key, one that is due already, and the one after it.
  for (let made = 0; made < 3 && (await store.lacksSuccessor()); made += 1)
    isMine = (await store.append(await makeKey(seal), rotationSeconds)) || isMine;
  return isMine;
}

/** @throws {SealedKeysError} where a key that may sign cannot be opened: a new one would not be opened either. */
export async function requireSecretKey(store: SigningKeyStore, seal: Seal): Promise<void> {
  for (const stored of await store.findAll()) if (!stored.revokedAt) await open(stored, seal, store);
}

/**
 * Lets the next key sign: at once where it has been published for long enough. Another one is prepared to follow it.
 * @returns the key
 */
export async function rotateKeys(store: SigningKeyStore, seal: Seal, rotationSeconds: number): Promise<StoredKey> {
  let next: StoredKey | undefined;
  while (!next) {
    await prepareSuccessor(store, seal, rotationSeconds);
    next = await store.advance(); // fails where somebody else has just advanced it
  }
  await prepareSuccessor(store, seal, rotationSeconds);
  return next;
}

/** Only what the seal proves is trusted: whoever can write to the database cannot add a key. */
async function open(stored: StoredKey, seal: Seal, store: SigningKeyStore): Promise<KnownKey> {
  const { kid, privateJwe } = stored;
  const { privateJwk, isOld } = await seal.open(kid, privateJwe).catch((cause: unknown) => {
    const message = "SECRET_KEY is not the one that the signing keys in this database were sealed under.";
    throw new SealedKeysError(message, { cause });
  });
  if (isOld) await store.reseal({ kid, privateJwe: await seal.seal(kid, privateJwk) });
  const publicJwk = publicHalf(kid, privateJwk);
  return { ...stored, publicJwk, publicKey: await importKey(publicJwk), privateKey: await importKey(privateJwk) };
}

/** Makes a key, and keeps it nowhere. */
export async function makeKey(seal: Seal): Promise<SealedKey> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const privateJwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x: privateJwk.x ?? "" });
  return { kid, privateJwe: await seal.seal(kid, privateJwk) };
}

const publicHalf = (kid: string, { x = "" }: JWK): PublicJwk => ({
  kty: "OKP",
  crv: "Ed25519",
  alg: "EdDSA",
  use: "sig",
  kid,
  x,
});

/** Imported once: importing for each signature would cost as much as the signature. */
const importKey = async (jwk: JWK) => (await importJWK(jwk, "EdDSA")) as CryptoKey;
