/** Introspection and revocation of tokens for other services. */
import type { Audit } from "../audit/audit.ts";
import { createIntrospection } from "../oauth/introspection.ts";
import { createRevocation } from "../oauth/revocation.ts";
import type { HandlerDependencies } from "../operations.ts";
import { createTokenRevocation } from "../tokens/revocation.ts";
import type { Domain } from "./domain.ts";
import type { Keys } from "./keys.ts";

export function openOAuth(
  { tokens, revocations, revocationFeed: feed }: Keys,
  { sessions, access, apiKeys, apiKeyVerification }: Domain,
  audit: Audit,
): Pick<HandlerDependencies, "introspect" | "revokePresented" | "revokeAccessToken"> {
  const revokeAccessToken = createTokenRevocation({ revocations, endSession: sessions.end, audit });
  return {
    introspect: createIntrospection({ tokens, revocations, access, apiKeys: apiKeyVerification, sessions, feed }),
    revokePresented: createRevocation({ tokens, revocations, revokeAccessToken, apiKeys, sessions }),
    revokeAccessToken,
  };
}
