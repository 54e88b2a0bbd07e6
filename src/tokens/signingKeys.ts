/** The Ed25519 keys that tokens are signed with: made once, kept sealed in the database, public as a JWK Set. */
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import type { components } from "../../generated/openapi.ts";
import type { Seal } from "./sealing.ts";

type PublicJwk = components["schemas"]["Jwk"];

export type StoredKey = { kid: string; privateJwe: string };

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
  // Only what the seal proves is trusted: whoever can write to the database cannot add a key.
  const keys = new Map<string, { publicJwk: PublicJwk; publicKey: CryptoKey; privateJwk: JWK }>();
  for (const { kid, privateJwe } of stored) {
    const privateJwk = await seal.open(kid, privateJwe).catch((cause: unknown) => {
      const message = "SECRET_KEY is not the one that the signing keys in this database were sealed under.";
      throw new SealedKeysError(message, { cause });
    });
    const publicJwk = publicHalf(kid, privateJwk);
    keys.set(kid, { publicJwk, publicKey: await importKey(publicJwk), privateJwk });
  }
  const signing = keys.get(newest.kid) as { privateJwk: JWK };
  return {
    signing: { kid: newest.kid, key: await importKey(signing.privateJwk) },
    find: (kid) => keys.get(kid)?.publicKey,
    jwks: { keys: [...keys.values()].map(({ publicJwk }) => publicJwk) },
  };
}

async function makeKey(seal: Seal): Promise<StoredKey> {
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
