/** Verifies the assertions of clients with keys: `private_key_jwt` (RFC 7523, section 3; OpenID Connect Core, section 9). */
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { z } from "zod";
import { isCanonicalJws } from "../lib/compactJws.ts";
import type { UsedProofs } from "../oauth/usedProofs.ts";
import type { Client } from "./storeTypes.ts";

/** @returns whether the assertion is valid, and was not used before */
export type VerifyAssertion = (client: Client, assertion: string) => Promise<boolean>;

/** The algorithms of assertions, by the type of the key. */
export const assertionAlgorithms = ["ES256", "EdDSA", "RS256", "PS256"] as const;

/** The longest lifetime of an assertion, and how much the clocks of the client and the service may differ. */
const maxLifetimeSeconds = 300;
const clockSkewSeconds = 30;

type Parts = {
  /** The issuer of this service and its token endpoint: the audiences of assertions. */
  audiences: readonly string[];
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

type KeySet = ReturnType<typeof createLocalJWKSet>;

export function createAssertions({ audiences, usedProofs, clock }: Parts): VerifyAssertion {
  /** The imported keys of a client that is in memory. */
  const keySets = new WeakMap<Client, KeySet>();

  function keysOf(client: Client): KeySet {
    const keys = keySets.get(client) ?? createLocalJWKSet((client.jwks as JSONWebKeySet | null) ?? { keys: [] });
    keySets.set(client, keys);
    return keys;
  }

  return async (client, assertion) => {
    if (!isCanonicalJws(assertion)) return false;
    const now = clock();
    const payload = await jwtVerify(assertion, keysOf(client), {
      algorithms: [...assertionAlgorithms],
      issuer: client.id,
      subject: client.id,
      currentDate: now,
      clockTolerance: clockSkewSeconds,
    }).then(
      ({ payload }) => claims.safeParse(payload).data,
      () => undefined,
    );
    if (!payload || !audiences.includes(payload.aud)) return false;
    const latest = now.getTime() / 1000 + maxLifetimeSeconds + clockSkewSeconds;
    if (payload.exp > latest) return false;
    const expiresAt = new Date((payload.exp + clockSkewSeconds) * 1000);
    return usedProofs.use({ kind: "client-assertion", owner: client.id, id: payload.jti, expiresAt });
  };
}
