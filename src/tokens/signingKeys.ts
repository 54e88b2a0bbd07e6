/** The Ed25519 keys that tokens are signed with: made once, kept sealed in the database, public as a JWK Set. */
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import type { components } from "../../generated/openapi.ts";
import type { Seal } from "./sealing.ts";

type PublicJwk = components["schemas"]["Jwk"];

export type StoredKey = { kid: string; publicJwk: PublicJwk; privateJwe: string };

export type SigningKeyStore = {
  /** All keys, the newest first. Where there are none, the given one becomes the first, even if many try at once. */
  findAllOrInsert(first: () => Promise<StoredKey>): Promise<StoredKey[]>;
};

export type SigningKeys = {
  /** What new tokens are signed with. */
  signing: { kid: string; key: CryptoKey };
  /** The public half of the key with that id. */
  find(kid: string): CryptoKey | undefined;
  jwks: { keys: PublicJwk[] };
};

/** The signing keys cannot be opened: this `SECRET_KEY` is not the one they were sealed under. */
export class SealedKeysError extends Error {}

/** @throws {SealedKeysError} */
export async function loadSigningKeys(store: SigningKeyStore, seal: Seal): Promise<SigningKeys> {
  const stored = await store.findAllOrInsert(() => makeKey(seal));
  const [newest] = stored;
  if (!newest) throw new Error("There is no signing key.");
  const privateJwk = await seal.open(newest.kid, newest.privateJwe).catch((cause: unknown) => {
    throw new SealedKeysError("SECRET_KEY is not the one that the signing keys in this database were sealed under.", {
      cause,
    });
  });
  const publicKeys = new Map<string, CryptoKey>();
  for (const { kid, publicJwk } of stored) publicKeys.set(kid, await importKey(publicJwk));
  return {
    signing: { kid: newest.kid, key: await importKey(privateJwk) },
    find: (kid) => publicKeys.get(kid),
    jwks: { keys: stored.map(({ publicJwk }) => publicJwk) },
  };
}

async function makeKey(seal: Seal): Promise<StoredKey> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const { x = "" } = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x });
  return {
    kid,
    publicJwk: { kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig", kid, x },
    privateJwe: await seal.seal(kid, await exportJWK(privateKey)),
  };
}

/** Imported once: importing for each signature would cost as much as the signature. */
const importKey = async (jwk: JWK) => (await importJWK(jwk, "EdDSA")) as CryptoKey;
