/**
 * The Ed25519 keys that tokens are signed with: kept sealed in the database, public as a JWK Set, and
 * replaced by themselves while the service runs.
 *
 * A key is published for longer than a JWK Set may be cached before it signs, and stays published
 * until the last token that it signed has expired.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import type { components } from "../../generated/openapi.ts";
import { Problem } from "../contract/problems.ts";
import type { Revocation } from "./revocations.ts";
import type { Seal } from "./sealing.ts";

type PublicJwk = components["schemas"]["Jwk"];

export type SealedKey = { kid: string; privateJwe: string };
export type StoredKey = SealedKey & { createdAt: Date; activatesAt: Date; revokedAt: Date | null };

export type SigningKeyStore = {
  /** All that are kept, the newest first. */
  findAll(): Promise<StoredKey[]>;
  /**
   * Keeps a key, unless there is one that is not revoked and younger than this (any, without an
   * age). Of many that ask at once, one succeeds.
   * @returns whether it was kept
   */
  insertUnlessYounger(
    key: SealedKey,
    youngerThanSeconds: number | undefined,
    activatesInSeconds: number,
  ): Promise<boolean>;
  /** Seals a key anew. */
  reseal(key: SealedKey): Promise<void>;
  /** @returns the revocation of its tokens, kept in the same transaction; `undefined` where there is no such key */
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
export class SealedKeysError extends Error {}

/** Longer than the JWK Set may be cached (`max-age` in the contract) and another instance may not have looked. */
const publishedBeforeSigningSeconds = 360;
const followEveryMs = 30_000;
/** How often the database is read for unknown keys, however many tokens name one. */
const unknownKeyIntervalMs = 50;
/** The interval, and a query of a healthy database. */
const unknownKeyTimeoutMs = 100;

type KnownKey = StoredKey & { publicJwk: PublicJwk; publicKey: CryptoKey; privateKey: CryptoKey };

/**
 * Loads the keys, makes the first one where there is none, and follows and rotates them until `close`.
 * @param rotationSeconds after how long a key gets a successor.
 * @param reportRotation is told of a successor that this instance made
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
    const youngest = Math.max(...usable().map(({ createdAt }) => createdAt.getTime()));
    if (clock().getTime() - youngest < rotationSeconds * 1000) return;
    const key = await makeKey(seal);
    const isMine = await store.insertUnlessYounger(key, rotationSeconds, publishedBeforeSigningSeconds);
    if (isMine) reportRotation(key.kid);
    await load();
  };
  const usable = () => [...known.values()].filter(({ revokedAt }) => !revokedAt);

  await ensureKey(store, seal);
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
      const now = clock();
      const active = usable().find(({ activatesAt }) => activatesAt <= now);
      // All active ones were revoked: the next signs before its time, rather than nobody.
      const signing = active ?? usable().at(-1);
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

/** Makes the first key, or the one after all others were revoked. It signs at once. */
export async function ensureKey(store: SigningKeyStore, seal: Seal): Promise<void> {
  const isThere = (await store.findAll()).some(({ revokedAt }) => !revokedAt);
  if (!isThere) await store.insertUnlessYounger(await makeKey(seal), undefined, 0);
}

/** @throws {SealedKeysError} where a key that may sign cannot be opened: a new one would not be opened either. */
export async function requireSecretKey(store: SigningKeyStore, seal: Seal): Promise<void> {
  for (const stored of await store.findAll()) if (!stored.revokedAt) await open(stored, seal, store);
}

/** Adds a key that will sign once it has been published for long enough. @returns its id */
export async function rotateKeys(store: SigningKeyStore, seal: Seal): Promise<string> {
  const key = await makeKey(seal);
  await store.insertUnlessYounger(key, 0, publishedBeforeSigningSeconds);
  return key.kid;
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
