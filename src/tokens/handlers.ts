import type { Audit } from "../audit/audit.ts";
import type { SessionId, UserId } from "../identifiers.ts";
import type { Handler } from "../openapi/binding.ts";
import { clockSlackSeconds, everyEpoch, type Revocations } from "../revocations/revocations.ts";
import type { Users } from "../users/users.ts";
import type { AccessTokens } from "./accessTokens.ts";
import type { SigningKeys } from "./signingKeys.ts";

export const issueToken =
  (tokens: AccessTokens, users: Pick<Users, "refreshPrincipal">, audit: Audit): Handler<"issueToken"> =>
  async ({ principal }) => {
    // The user may have been deleted and registered anew meanwhile.
    const current = await users.refreshPrincipal(principal);
    const token = await tokens.issue(current);
    audit("token-issued", { userId: current.userId });
    return { status: 200, body: { token, duration: tokens.ttlSeconds } };
  };

/** @param endSession ends the session of a token, and so the token. */
export const revokeToken =
  (
    revocations: Revocations,
    endSession: (userId: UserId, sessionId: SessionId) => Promise<boolean>,
    audit: Audit,
  ): Handler<"revokeToken"> =>
  async ({ principal: { userId, sessionId, tokenId, expiresAt } }) => {
    if (sessionId !== undefined && (await endSession(userId, sessionId))) return { status: 204 };
    const forgettable = new Date(expiresAt.getTime() + clockSlackSeconds * 1000);
    await revocations.revoke({ subject: tokenId, minimumEpoch: everyEpoch, expiresAt: forgettable });
    audit("token-revoked", { userId });
    return { status: 204 };
  };

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks() });
