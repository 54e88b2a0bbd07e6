/**
 * The keys that sign and verify tokens. They are stored encrypted in the database, published as a JWK Set, and rotated
 * while the service runs. A key stays published until the last token that it signed has expired.
 */
import type { KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { CryptoKey } from "jose";
import { startPoller } from "../lib/poller.ts";
import { Problem } from "../problems/problems.ts";
import type { PublicJwk, SigningAlgorithm } from "./algorithms.ts";
import { adoptAlgorithm, prepareNextKey, type Rotation, rotateIfDue, signingKey, usableKeys } from "./keyRotation.ts";
import { type OpenedKey, openKey } from "./sealing.ts";

export type SigningKeys = {
  /** The key for new tokens. @throws {Problem} `overloaded` if no key can be opened */
  signing(): { kid: string; algorithm: SigningAlgorithm; key: KeyObject };
  /** The algorithm of new tokens; `undefined` if no key can be opened. */
  algorithm(): SigningAlgorithm | undefined;
  /**
   * The public key, and whether it is revoked. An unknown key is looked up in the database, for at most 100 ms.
   * @throws {Problem} `database-unavailable` if the database did not respond in that time
   */
  find(kid: string): VerificationKey | undefined | Promise<VerificationKey | undefined>;
  jwks(): { keys: PublicJwk[] };
  /** Reads the keys now. */
  wake(): void;
  close(): Promise<void>;
};

/** `algorithm`: the only one that the key verifies, whatever a token names. */
export type VerificationKey = { key: CryptoKey; algorithm: SigningAlgorithm; isRevoked: boolean };

export type SigningKeyOptions = Rotation & {
  clock: () => Date;
  /** Called with the id of the key that signs next, on the instance that changed the keys. */
  onRotation: (kid: string) => void;
  onError: (error: unknown) => void;
};

const intervalMs = 30_000;
/** The shortest interval between reads for unknown keys, however many tokens name one. */
const unknownKeyIntervalMs = 50;
/** The time for the interval and a query, if the database is healthy. */
const unknownKeyTimeoutMs = 100;

/**
 * Loads the keys. Makes the first ones if there are none, and changes the algorithm if `SIGNING_ALG` is another one. Until
 * `close`, reads and rotates the keys.
 * @throws {SealedKeysError} if a key that may sign was sealed under another `SECRET_KEY`
 */
export async function watchSigningKeys(options: SigningKeyOptions): Promise<SigningKeys> {
  const { store, seal, clock, onRotation, onError } = options;
  let known = new Map<string, OpenedKey>();
  let lastReadMs = performance.now();

  const reportUnopened = (error: unknown): undefined => {
    if (known.size === 0) throw error;
    onError(error);
  };
  const load = async (): Promise<void> => {
    const loaded = new Map<string, OpenedKey>();
    for (const stored of await store.findAll()) {
      // If a key cannot be opened, a start fails and a running service reports it. A revoked key is ignored.
      const onFailure = stored.revokedAt ? () => undefined : reportUnopened;
      const opened = known.get(stored.kid) ?? (await openKey(stored, seal, store).catch(onFailure));
      if (opened) loaded.set(stored.kid, { ...opened, ...stored });
    }
    known = loaded;
  };

  await prepareNextKey(options);
  await load();
  const first = await adoptAlgorithm(options);
  if (first) {
    onRotation(first.kid);
    await load();
  }

  const poller = startPoller({
    async task() {
      lastReadMs = performance.now();
      await load();
      const { changed, rotatedTo } = await rotateIfDue([...known.values()], clock().getTime(), options);
      if (rotatedTo !== undefined) onRotation(rotatedTo);
      if (changed) await load();
    },
    intervalMs,
    retry: { firstMs: 1_000, maxMs: intervalMs },
    onError,
  });

  const verificationKey = (kid: string): VerificationKey | undefined => {
    const found = known.get(kid);
    return found && { key: found.publicKey, algorithm: found.publicJwk.alg, isRevoked: found.revokedAt !== null };
  };

  /** The key may be newer than the last read. All tokens with unknown key ids share one read, with a short timeout. */
  const readAndFind = async (kid: string): Promise<VerificationKey | undefined> => {
    const timeout = new AbortController();
    const timedOut = sleep(unknownKeyTimeoutMs, undefined, timeout).then(() => {
      throw new Problem("database-unavailable", { cause: new Error("The signing keys were not read in time.") });
    });
    await Promise.race([upcomingRead(), timedOut]).finally(() => timeout.abort());
    return verificationKey(kid);
  };
  let upcoming: Promise<void> | undefined;
  /** The next read that has not started yet. All callers share it. */
  const upcomingRead = (): Promise<void> => {
    upcoming ??= sleep(Math.max(0, lastReadMs + unknownKeyIntervalMs - performance.now())).then(() => {
      upcoming = undefined;
      return poller.run();
    });
    return upcoming;
  };

  const findSigning = () => signingKey(usableKeys(known.values()), clock().getTime());

  return {
    signing() {
      const signing = findSigning();
      // Every key was revoked, and the new one is sealed under another SECRET_KEY. Restart this instance with that key.
      if (!signing) throw new Problem("overloaded", { cause: new Error("No signing key can be opened.") });
      return { kid: signing.kid, algorithm: signing.publicJwk.alg, key: signing.privateKey };
    },
    algorithm: () => findSigning()?.publicJwk.alg,
    find: (kid) => verificationKey(kid) ?? readAndFind(kid),
    jwks: () => ({ keys: usableKeys(known.values()).map(({ publicJwk }) => publicJwk) }),
    wake: poller.wake,
    close: poller.close,
  };
}
