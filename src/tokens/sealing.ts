/** Encrypts the private keys that the database stores: as a JWE (RFC 7516) under a key that is derived from `SECRET_KEY`. */

import { createPrivateKey, hkdfSync, type KeyObject } from "node:crypto";
import {
  CompactEncrypt,
  type CryptoKey,
  calculateJwkThumbprint,
  compactDecrypt,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from "jose";
import { ConfigError } from "../errors.ts";
import { type PublicJwk, publicHalf, rsaModulusBits, type SigningAlgorithm } from "./algorithms.ts";
import type { SealedKey, SigningKeyStore, StoredKey } from "./storeTypes.ts";

export type Seal = {
  /** @param kid authenticated in the result, which cannot be opened as another key */
  seal(kid: string, privateJwk: JWK): Promise<string>;
  /**
   * @returns the key, and whether it was sealed under an earlier `SECRET_KEY`
   * @throws if it was sealed under none of the secret keys, for another key, or was altered
   */
  open(kid: string, jwe: string): Promise<{ privateJwk: JWK; isOld: boolean }>;
};

/** @param secretKeys the current one, which seals, then earlier ones, which only open */
export function createSeal(secretKeys: readonly [string, ...string[]]): Seal {
  // SECRET_KEY has enough entropy: it is extracted, not stretched (RFC 5869).
  const keys = secretKeys.map((key) => new Uint8Array(hkdfSync("sha256", key, "", "latchkey signing keys", 32)));
  const [current] = keys as [Uint8Array];
  return {
    seal: (kid, privateJwk) =>
      new CompactEncrypt(Buffer.from(JSON.stringify(privateJwk)))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: sealedKeyId(kid, privateJwk) })
        .encrypt(current),
    async open(kid, jwe) {
      for (const key of keys) {
        const { plaintext, protectedHeader } = await compactDecrypt(jwe, key, {
          keyManagementAlgorithms: ["dir"],
          contentEncryptionAlgorithms: ["A256GCM"],
        }).catch((error: unknown) => {
          if (error instanceof errors.JWEDecryptionFailed) return { plaintext: undefined, protectedHeader: undefined };
          throw error;
        });
        if (!plaintext) continue;
        const privateJwk = JSON.parse(Buffer.from(plaintext).toString()) as JWK;
        if (protectedHeader.kid !== sealedKeyId(kid, privateJwk)) throw new Error("sealed for another key");
        return { privateJwk, isOld: key !== current };
      }
      throw new Error("sealed under another SECRET_KEY");
    },
  };
}

/** The previous version takes every key for an Ed25519 key. It opens no key that is sealed with another key id than its own. */
const sealedKeyId = (kid: string, { kty }: JWK): string => (kty === "OKP" ? kid : `${kty} ${kid}`);

/** The signing keys cannot be opened: they were sealed under another `SECRET_KEY`. */
export class SealedKeysError extends ConfigError {}

export type OpenedKey = StoredKey & { publicJwk: PublicJwk; publicKey: CryptoKey; privateKey: KeyObject };

/**
 * Opens a stored key. If it was sealed under an earlier `SECRET_KEY`, seals it again. The public key is derived from the sealed
 * private key, so that write access to the database is not enough to add a key.
 * @throws {SealedKeysError}
 */
export async function openKey(stored: StoredKey, seal: Seal, store: SigningKeyStore): Promise<OpenedKey> {
  const { kid, privateJwe } = stored;
  const { privateJwk, isOld } = await seal.open(kid, privateJwe).catch((cause: unknown) => {
    const message = "SECRET_KEY is not the one that the signing keys in this database were sealed under.";
    throw new SealedKeysError(message, { cause });
  });
  if (isOld) await store.reseal({ kid, privateJwe: await seal.seal(kid, privateJwk) });
  const publicJwk = publicHalf(kid, privateJwk);
  // An import takes as long as a signature, so each key is imported once.
  const publicKey = (await importJWK(publicJwk, publicJwk.alg)) as CryptoKey;
  return { ...stored, publicJwk, publicKey, privateKey: createPrivateKey({ key: privateJwk, format: "jwk" }) };
}

/** @throws {SealedKeysError} if a key that may sign cannot be opened. The service could not open a new key either. */
export async function requireSecretKey(store: SigningKeyStore, seal: Seal): Promise<void> {
  for (const stored of await store.findAll()) if (!stored.revokedAt) await openKey(stored, seal, store);
}

/** Makes a key. Its id is the RFC 7638 thumbprint. */
export async function makeKey(algorithm: SigningAlgorithm, seal: Seal): Promise<SealedKey> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true, modulusLength: rsaModulusBits });
  const privateJwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint(privateJwk);
  return { kid, algorithm, privateJwe: await seal.seal(kid, privateJwk) };
}
