/** JWTs that may be used once: the assertions of clients (RFC 7523) and DPoP proofs (RFC 9449). */
import { hash } from "node:crypto";

export type Proof = {
  kind: "client-assertion" | "dpop";
  /** Within which `id` is unique: the client, or the thumbprint of the key. */
  owner: string;
  /** The `jti`. */
  id: string;
  /** When the proof is no longer accepted, with the tolerance for clocks. */
  expiresAt: Date;
};

export type UsedProofs = {
  /**
   * Uses a proof. Of concurrent calls with the same proof, on any instance, one succeeds.
   * @returns whether it was not used before
   * @throws {Problem} `database-unavailable`
   */
  use(proof: Proof): Promise<boolean>;
};

export type UsedProofStore = {
  /**
   * @param proof `isDurable`: once this is resolved, a crash of the database does not lose the proof
   * @returns whether the digest was not stored before
   */
  insert(proof: { digest: Buffer; expiresAt: Date; isDurable: boolean }): Promise<boolean>;
};

export const createUsedProofs = (store: UsedProofStore): UsedProofs => ({
  use({ kind, owner, id, expiresAt }) {
    const digest = hash("sha256", JSON.stringify([kind, owner, id]), "buffer");
    return store.insert({ digest, expiresAt, isDurable: kind === "client-assertion" });
  },
});
