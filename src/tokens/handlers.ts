import type { Handler } from "../contract/binding.ts";
import type { AccessTokens } from "./accessTokens.ts";
import { clockSlackSeconds, everyEpoch, type Revocations } from "./revocations.ts";
import type { SigningKeys } from "./signingKeys.ts";

export const issueToken =
  (tokens: AccessTokens): Handler<"issueToken"> =>
  async ({ principal }) => ({
    status: 200,
    body: { token: await tokens.issue(principal), duration: tokens.ttlSeconds },
  });

/** @param endSession ends the session of a token, and so the token. */
export const revokeToken =
  (
    revocations: Revocations,
    endSession: (userId: string, sessionId: string) => Promise<boolean>,
  ): Handler<"revokeToken"> =>
  async ({ principal: { userId, sessionId, tokenId, expiresAt } }) => {
    if (sessionId !== undefined && (await endSession(userId, sessionId))) return { status: 204 };
    const forgettable = new Date(expiresAt.getTime() + clockSlackSeconds * 1000);
    await revocations.revoke({ subject: tokenId, minimumEpoch: everyEpoch, expiresAt: forgettable });
    return { status: 204 };
  };

export const getJwks =
  (keys: SigningKeys): Handler<"getJwks"> =>
  () => ({ status: 200, body: keys.jwks() });
