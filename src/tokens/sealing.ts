/** Keeps private keys unreadable in the database: a JWE (RFC 7516) under a key derived from `SECRET_KEY`. */
import { hkdfSync } from "node:crypto";
import { CompactEncrypt, compactDecrypt, type JWK } from "jose";

export type Seal = {
  /** @param kid is bound to the result: it cannot be passed off as another key's. */
  seal(kid: string, privateJwk: JWK): Promise<string>;
  /** @throws where it was sealed under another `SECRET_KEY`, for another key, or was altered. */
  open(kid: string, jwe: string): Promise<JWK>;
};

export function createSeal(secretKey: string): Seal {
  // SECRET_KEY has enough entropy of its own (config.ts): it is extracted, not stretched (RFC 5869).
  const key = new Uint8Array(hkdfSync("sha256", secretKey, "", "latchkey signing keys", 32));
  return {
    seal: (kid, privateJwk) =>
      new CompactEncrypt(Buffer.from(JSON.stringify(privateJwk)))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid })
        .encrypt(key),
    async open(kid, jwe) {
      const { plaintext, protectedHeader } = await compactDecrypt(jwe, key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
      if (protectedHeader.kid !== kid) throw new Error("sealed for another key");
      return JSON.parse(Buffer.from(plaintext).toString()) as JWK;
    },
  };
}
