/** How credentials are checked: passwords by users, tokens by their signature, claims and the list of revocations. */
import type { Audit } from "./audit/audit.ts";
import type { Authenticator } from "./openapi/guard.ts";
import type { TokenPrincipal } from "./principal.ts";
import { Problem } from "./problems/problems.ts";
import { clientNetworks } from "./requestContext.ts";
import type { Revocations } from "./revocations/revocations.ts";
import type { AccessTokens } from "./tokens/accessTokens.ts";
import type { Users } from "./users/users.ts";

type Parts = {
  users: Pick<Users, "signIn">;
  tokens: Pick<AccessTokens, "verify">;
  revocations: Pick<Revocations, "check">;
  audit: Audit;
};

export const createAuthenticator = ({ users, tokens, revocations, audit }: Parts): Authenticator => ({
  password: (username, password) => users.signIn(username, password, clientNetworks()),
  async token(token) {
    let principal: TokenPrincipal | undefined;
    try {
      principal = await tokens.verify(token);
      revocations.check(principal);
      return principal;
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        audit("token-refused", { userId: principal?.userId, reason: error.slug });
      }
      throw error;
    }
  },
});
