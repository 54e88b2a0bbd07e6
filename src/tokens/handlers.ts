import { type Grants, unlimited } from "../access/grants.ts";
import type { Audit } from "../audit/audit.ts";
import type { SessionId, UserId } from "../identifiers.ts";
import type { Handler } from "../openapi/binding.ts";
import { clockMarginSeconds, maxEpoch, type Revocations } from "../revocations/revocations.ts";
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
    const token = issue(current, { grant });
    const scope = grant?.scopes.join(" ");
    audit("token-issued", { userId: current.userId, audience: grant?.audience, scope });
    const duration = grant?.seconds ?? tokens.ttlSeconds;
    return { status: 200, body: { token, duration, ...(scope !== undefined && { scope }) } };
  };

/** @param endSession ends a session, and revokes its tokens */
export const revokeToken =
  (
    revocations: Revocations,
    endSession: (userId: UserId, sessionId: SessionId) => Promise<boolean>,
    audit: Audit,
  ): Handler<"revokeToken"> =>
  async ({ principal: { userId, sessionId, tokenId, expiresAt } }) => {
    if (sessionId !== undefined && (await endSession(userId, sessionId))) return { status: 204 };
    await revocations.revoke({
      subject: tokenId,
      minimumEpoch: maxEpoch,
      expiresAt: new Date(expiresAt.getTime() + clockMarginSeconds * 1000),
    });
    audit("token-revoked", { userId });
    return { status: 204 };
  };

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks() });
