/**
 * Verifies credentials: passwords against the users, tokens by their signature, their claims and the revocation list, API keys
 * against the stored digests.
 */
import type { Access } from "./access/rights.ts";
import type { VerifyApiKey } from "./apiKeys/verification/verification.ts";
import type { Audit } from "./audit/audit.ts";
import type { VerifyDpopProof } from "./oauth/dpop.ts";
import { type Authenticator, acceptsNoProofs } from "./openapi/guard.ts";
import { type AnyTokenPrincipal, identityOf } from "./principal.ts";
import { Problem } from "./problems/problems.ts";
import { clientNetworks, requestContext } from "./requestContext.ts";
import type { Revocations } from "./revocations/revocations.ts";
import type { AccessTokens, OwnToken, TokenForApi } from "./tokens/accessTokens.ts";
import type { Users } from "./users/users.ts";

type Parts = {
  access: Pick<Access, "missingScopes" | "refuse">;
  users: Pick<Users, "signIn">;
  tokens: Pick<AccessTokens, "verify" | "verifyForApi">;
  verifyApiKey: VerifyApiKey;
  revocations: Pick<Revocations, "check">;
  verifyDpopProof: VerifyDpopProof;
  audit: Audit;
};

export type ServiceAuthenticator = Authenticator & {
  /** Verifies a token for this service, where proofs are not accepted. @throws {Problem} as `token` */
  tokenWithoutProof(token: string): OwnToken | Promise<OwnToken>;
  /** Verifies a token for the API with this audience, where proofs are not accepted. @throws {Problem} as `token` */
  apiToken(token: string, audience: string): TokenForApi | Promise<TokenForApi>;
};

export function createAuthenticator(parts: Parts): ServiceAuthenticator {
  const { access, users, tokens, verifyApiKey, revocations, verifyDpopProof, audit } = parts;
  const auditRefusal = (error: unknown, principal?: AnyTokenPrincipal): never => {
    if (error instanceof Problem && error.status === 401) {
      audit("token-refused", { ...(principal && identityOf(principal)), reason: error.slug });
    }
    throw error;
  };
  const requireUsable = <Principal extends AnyTokenPrincipal>(principal: Principal, ifBound: string): Principal => {
    try {
      if (principal.boundTo !== undefined) throw new Problem("invalid-token", { detail: ifBound });
      revocations.check(principal);
      return principal;
    } catch (error) {
      return auditRefusal(error, principal);
    }
  };
  const check = <Principal extends AnyTokenPrincipal>(
    verify: () => Principal | Promise<Principal>,
    ifBound: string,
  ): Principal | Promise<Principal> => {
    let verified: Principal | Promise<Principal>;
    try {
      verified = verify();
    } catch (error) {
      return auditRefusal(error);
    }
    return verified instanceof Promise
      ? verified.then(
          (principal) => requireUsable(principal, ifBound),
          (error: unknown) => auditRefusal(error),
        )
      : requireUsable(verified, ifBound);
  };

  const verifyBound = async (token: string): Promise<OwnToken> => {
    let principal: OwnToken | undefined;
    try {
      principal = await tokens.verify(token);
      const { boundTo } = principal;
      if (boundTo === undefined) throw new Problem("invalid-token", { detail: isBearer });
      revocations.check(principal);
      const { proof } = requestContext();
      const key = proof && (await verifyDpopProof(proof, { accessToken: token, thumbprint: boundTo }));
      if (key === undefined) throw new Problem("dpop-proof-refused");
      return principal;
    } catch (error) {
      return auditRefusal(error, principal);
    }
  };

  return {
    password: (username, password) => users.signIn(username, password, clientNetworks()),
    token: (token) => check(() => tokens.verify(token), needsProof),
    boundToken: verifyBound,
    tokenWithoutProof: (token) => check(() => tokens.verify(token), acceptsNoProofs),
    apiToken: (token, audience) => check(() => tokens.verifyForApi(token, audience), acceptsNoProofs),
    apiKey: verifyApiKey,
    missingScopes: access.missingScopes,
    refuse: access.refuse,
  };
}

const needsProof = "The token is bound to a key. Send it with the scheme DPoP, and with a proof in the header DPoP.";
const isBearer = "The token is not bound to a key. Send it with the scheme Bearer.";
