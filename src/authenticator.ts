/**
 * Verifies credentials: passwords against the users, tokens by their signature, their claims and the revocation list, API keys
 * against the stored digests.
 */
import type { Access } from "./access/rights.ts";
import type { VerifyApiKey } from "./apiKeys/verification/verification.ts";
import type { Audit } from "./audit/audit.ts";
import type { Authenticator } from "./openapi/guard.ts";
import type { TokenPrincipal } from "./principal.ts";
import { Problem } from "./problems/problems.ts";
import { clientNetworks } from "./requestContext.ts";
import type { Revocations } from "./revocations/revocations.ts";
import type { AccessTokens } from "./tokens/accessTokens.ts";
import type { Users } from "./users/users.ts";

type Parts = {
  access: Pick<Access, "missingScopes" | "refuse">;
  users: Pick<Users, "signIn">;
  tokens: Pick<AccessTokens, "verify">;
  verifyApiKey: VerifyApiKey;
  revocations: Pick<Revocations, "check">;
  audit: Audit;
};

export function createAuthenticator({ access, users, tokens, verifyApiKey, revocations, audit }: Parts): Authenticator {
  const auditRefusal = (error: unknown, principal?: TokenPrincipal): never => {
    if (error instanceof Problem && error.status === 401) {
      audit("token-refused", { userId: principal?.userId, reason: error.slug });
    }
    throw error;
  };
  const requireUnrevoked = (principal: TokenPrincipal): TokenPrincipal => {
    try {
      revocations.check(principal);
      return principal;
    } catch (error) {
      return auditRefusal(error, principal);
    }
  };
  const verify = (token: string): TokenPrincipal | Promise<TokenPrincipal> => {
    try {
      return tokens.verify(token);
    } catch (error) {
      return auditRefusal(error);
    }
  };

  return {
    password: (username, password) => users.signIn(username, password, clientNetworks()),
    token(token) {
      const verified = verify(token);
      return verified instanceof Promise
        ? verified.then(requireUnrevoked, (error: unknown) => auditRefusal(error))
        : requireUnrevoked(verified);
    },
    apiKey: verifyApiKey,
    missingScopes: access.missingScopes,
    refuse: access.refuse,
  };
}
