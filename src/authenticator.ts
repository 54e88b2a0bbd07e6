/**
 * Verifies credentials: passwords against the users, tokens by their signature, their claims and the revocation list, API keys
 * against the stored digests.
 */
import type { Access } from "./access/rights.ts";
import type { VerifyApiKey } from "./apiKeys/verification/verification.ts";
import type { Audit } from "./audit/audit.ts";
import type { Authenticator } from "./openapi/guard.ts";
import { type AnyTokenPrincipal, identityOf } from "./principal.ts";
import { Problem } from "./problems/problems.ts";
import { clientNetworks } from "./requestContext.ts";
import type { Revocations } from "./revocations/revocations.ts";
import type { AccessTokens, TokenForApi } from "./tokens/accessTokens.ts";
import type { Users } from "./users/users.ts";

type Parts = {
  access: Pick<Access, "missingScopes" | "refuse">;
  users: Pick<Users, "signIn">;
  tokens: Pick<AccessTokens, "verify" | "verifyForApi">;
  verifyApiKey: VerifyApiKey;
  revocations: Pick<Revocations, "check">;
  audit: Audit;
};

export type ServiceAuthenticator = Authenticator & {
  /** Verifies a token for the API with this audience. @throws {Problem} as `token` */
  apiToken(token: string, audience: string): TokenForApi | Promise<TokenForApi>;
};

export function createAuthenticator(parts: Parts): ServiceAuthenticator {
  const { access, users, tokens, verifyApiKey, revocations, audit } = parts;
  const auditRefusal = (error: unknown, principal?: AnyTokenPrincipal): never => {
    if (error instanceof Problem && error.status === 401) {
      audit("token-refused", { ...(principal && identityOf(principal)), reason: error.slug });
    }
    throw error;
  };
  const requireUnrevoked = <Principal extends AnyTokenPrincipal>(principal: Principal): Principal => {
    try {
      revocations.check(principal);
      return principal;
    } catch (error) {
      return auditRefusal(error, principal);
    }
  };
  const check = <Principal extends AnyTokenPrincipal>(
    verify: () => Principal | Promise<Principal>,
  ): Principal | Promise<Principal> => {
    let verified: Principal | Promise<Principal>;
    try {
      verified = verify();
    } catch (error) {
      return auditRefusal(error);
    }
    return verified instanceof Promise
      ? verified.then(requireUnrevoked, (error: unknown) => auditRefusal(error))
      : requireUnrevoked(verified);
  };

  return {
    password: (username, password) => users.signIn(username, password, clientNetworks()),
    token: (token) => check(() => tokens.verify(token)),
    apiToken: (token, audience) => check(() => tokens.verifyForApi(token, audience)),
    apiKey: verifyApiKey,
    missingScopes: access.missingScopes,
    refuse: access.refuse,
  };
}
