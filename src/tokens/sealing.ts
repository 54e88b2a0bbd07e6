/** Keeps private keys unreadable in the database: a JWE (RFC 7516) under a key derived from `SECRET_KEY`. */
import { hkdfSync } from "node:crypto";
import { CompactEncrypt, compactDecrypt, errors, type JWK } from "jose";

export type Seal = {
  /** @param kid is bound to the result: it cannot be passed off as another key's. */
  seal(kid: string, privateJwk: JWK): Promise<string>;
  /**
   * @returns the key, and whether it was sealed under an earlier `SECRET_KEY` than the present one
   * @throws where it was sealed under none of these, for another key, or was altered.
   */
  open(kid: string, jwe: string): Promise<{ privateJwk: JWK; isOld: boolean }>;
};

/** @param secretKeys the present one, then those before it, whose seals are still opened. */
export function createSeal(secretKeys: readonly [string, ...string[]]): Seal {
  // SECRET_KEY has enough entropy of its own (config.ts): it is extracted, not stretched (RFC 5869).
  const keys = secretKeys.map((key) => new Uint8Array(hkdfSync("sha256", key, "", "latchkey signing keys", 32)));
  const [present] = keys as [Uint8Array];
  return {
    seal: (kid, privateJwk) =>
      new CompactEncrypt(Buffer.from(JSON.stringify(privateJwk)))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid })
        .encrypt(present),
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
        if (protectedHeader.kid !== kid) throw new Error("sealed for another key");
        return { privateJwk: JSON.parse(Buffer.from(plaintext).toString()) as JWK, isOld: key !== present };
      }
      throw new Error("sealed under another SECRET_KEY");
    },
  };
}
