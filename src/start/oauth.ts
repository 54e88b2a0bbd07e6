/** Introspection and revocation of tokens for other services. */
import type { Audit } from "../audit/audit.ts";
import { createIntrospection } from "../oauth/introspection.ts";
import { createRevocation } from "../oauth/revocation.ts";
import type { HandlerDependencies } from "../operations.ts";
import { createTokenRevocation } from "../tokens/revocation.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";

type Parts = { keys: Keys; domain: Domain; audit: Audit; issuer: string };

export function openOAuth({
  keys,
  domain,
  audit,
  issuer,
}: Parts): Pick<HandlerDependencies, "introspect" | "revokePresented" | "revokeAccessToken"> {
  const { tokens, revocations, revocationFeed: feed } = keys;
  const { sessions, access, apiKeys, apiKeyVerification, protectedApis: apis } = domain;
  const revokeAccessToken = createTokenRevocation({ revocations, endSession: sessions.end, audit });
  return {
    introspect: createIntrospection({
      tokens,
      revocations,
      access,
      apiKeys: apiKeyVerification,
      sessions,
      feed,
      apis,
      issuer,
    }),
    revokePresented: createRevocation({ tokens, revocations, revokeAccessToken, apiKeys, sessions }),
    revokeAccessToken,
  };
}
