import { type Grants, unlimited } from "../access/grants.ts";
import type { Audit } from "../audit/audit.ts";
import type { Handler } from "../openapi/binding.ts";
import type { TokenPrincipal } from "../principal.ts";
import type { Users } from "../users/users.ts";
import type { AccessTokens } from "./accessTokens.ts";
import type { SigningKeys } from "./signingKeys.ts";

type IssueTokenParts = {
  tokens: AccessTokens;
  users: Pick<Users, "withCurrentEpoch">;
  grants: Grants;
  audit: Audit;
};

export const issueToken =
  ({ tokens, users, grants, audit }: IssueTokenParts): Handler<"issueToken"> =>
  async ({ principal, query }) => {
    const issue = tokens.prepare(principal.epochReadAfterMs ?? performance.now());
    const limits = await grants.narrow(unlimited, query ?? {});
    // The user id may have changed: the user may have been deleted and have registered again.
    const current = await users.withCurrentEpoch(principal);
    const grant = await grants.grant(current.userId, limits);
    const token = await issue(current, { grant });
    const scope = grant?.scopes.join(" ");
    audit("token-issued", { userId: current.userId, audience: grant?.audience, scope });
    const duration = grant?.seconds ?? tokens.ttlSeconds;
    return { status: 200, body: { token, duration, ...(scope !== undefined && { scope }) } };
  };

/** @param revoke revokes a token, with its session if it has one */
export const revokeToken =
  (revoke: (principal: TokenPrincipal) => Promise<void>): Handler<"revokeToken"> =>
  async ({ principal }) => {
    await revoke(principal);
    return { status: 204 };
  };

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks() });
