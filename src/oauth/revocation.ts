/** Revokes a token for whoever has it (RFC 7009). */
import type { ApiKeys } from "../apiKeys/apiKeys.ts";
import type { ClientId } from "../identifiers.ts";
import type { AnyTokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import type { Revocations } from "../revocations/revocations.ts";
import type { Sessions } from "../sessions/sessions.ts";
import type { AccessTokens } from "../tokens/accessTokens.ts";
import { kindOf } from "./kinds.ts";

type Parts = {
  tokens: Pick<AccessTokens, "verifyAny">;
  revocations: Pick<Revocations, "check">;
  revokeAccessToken(principal: AnyTokenPrincipal): Promise<void>;
  apiKeys: Pick<ApiKeys, "revoke">;
  sessions: Pick<Sessions, "endByRefreshToken">;
};

/**
 * Revokes a token, with its session if it has one. Does nothing for a text that is not a valid token.
 * @param by the client that revokes it. Does nothing for a token that was not issued to this client (RFC 7009, section 2.1)
 * @throws {Problem} `revocations-stale`, `database-unavailable`
 */
export type RevokePresented = (text: string, by?: ClientId) => Promise<void>;

export function createRevocation(parts: Parts): RevokePresented {
  const { tokens, revocations, revokeAccessToken, apiKeys, sessions } = parts;

  async function accessToken(text: string, by: ClientId | undefined): Promise<void> {
    const principal = await tokens.verifyAny(text);
    revocations.check(principal);
    if (by !== undefined && principal.clientId !== by) return;
    await revokeAccessToken(principal);
  }

  const byKind = {
    "access-token": accessToken,
    // API keys are not issued to clients, so a client cannot revoke one.
    "api-key": async (text: string, by: ClientId | undefined) => (by === undefined ? apiKeys.revoke(text) : undefined),
    "refresh-token": sessions.endByRefreshToken,
  };
  return async (text, by) => {
    try {
      await byKind[kindOf(text)](text, by);
    } catch (error) {
      // The token is not valid (401), or has the form of no API key (400).
      const isInvalid = error instanceof Problem && (error.status === 401 || error.status === 400);
      if (!isInvalid) throw error;
    }
  };
}
