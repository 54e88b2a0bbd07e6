/** Verifies the assertions of clients with keys: `private_key_jwt` (RFC 7523, section 3; OpenID Connect Core, section 9). */
import { errors, jwtVerify } from "jose";
import { z } from "zod";
import { isCanonicalJws } from "../lib/compactJws.ts";
import type { UsedProofs } from "../oauth/usedProofs.ts";
import type { ClientKeySets, KeySet } from "./keySets.ts";
import type { Client } from "./storeTypes.ts";

/** @returns whether the assertion is valid, and was not used before */
export type VerifyAssertion = (client: Client, assertion: string) => Promise<boolean>;

/** The algorithms of assertions, by the type of the key. `Ed25519` is the newer name of `EdDSA` (RFC 9864). */
export const assertionAlgorithms = ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"] as const;

/** The longest lifetime of an assertion, and how much the clocks of the client and the service may differ. */
const maxLifetimeSeconds = 300;
const clockSkewSeconds = 30;

type Parts = {
  /** The issuer of this service and its token endpoint: the audiences of assertions. */
  audiences: readonly string[];
  keySets: ClientKeySets;
  usedProofs: UsedProofs;
  /** The time of the database. */
  clock: () => Date;
};

const claims = z.object({
  // One audience: an assertion for several services could be replayed by any of them.
  aud: z.union([z.string(), z.tuple([z.string()]).transform(([audience]) => audience)]),
  exp: z.number(),
  jti: z.string().min(1).max(256),
});

export function createAssertions({ audiences, keySets, usedProofs, clock }: Parts): VerifyAssertion {
  /** @returns `undefined` if the assertion is not valid */
  async function verify(client: Client, assertion: string, isFresh = false): Promise<unknown> {
    const keySet: KeySet | undefined = await keySets.of(client, isFresh);
    if (!keySet) return undefined;
    try {
      const { payload } = await jwtVerify(assertion, keySet, {
        algorithms: [...assertionAlgorithms],
        issuer: client.id,
        subject: client.id,
        currentDate: clock(),
        clockTolerance: clockSkewSeconds,
      });
      return payload;
    } catch (error) {
      // The client may have published another key since.
      const isKeyMissing = error instanceof errors.JWKSNoMatchingKey && client.jwksUri !== null;
      return isKeyMissing && !isFresh ? verify(client, assertion, true) : undefined;
    }
  }

  return async (client, assertion) => {
    if (!isCanonicalJws(assertion)) return false;
    const { data: payload } = claims.safeParse(await verify(client, assertion));
    if (!payload || !audiences.includes(payload.aud)) return false;
    if (payload.exp > clock().getTime() / 1000 + maxLifetimeSeconds + clockSkewSeconds) return false;
    const expiresAt = new Date((payload.exp + clockSkewSeconds) * 1000);
    return usedProofs.use({ kind: "client-assertion", owner: client.id, id: payload.jti, expiresAt });
  };
}
