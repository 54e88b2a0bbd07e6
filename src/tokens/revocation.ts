/** Revokes one access token, with its session if it has one. */
import type { Audit } from "../audit/audit.ts";
import type { SessionId, UserId } from "../identifiers.ts";
import { type AnyTokenPrincipal, identityOf } from "../principal.ts";
import { clockMarginSeconds, maxEpoch, type Revocations } from "../revocations/revocations.ts";

type Parts = {
  revocations: Pick<Revocations, "revoke">;
  /** Ends a session, and revokes its tokens. @returns whether there was such a live session */
  endSession(userId: UserId, sessionId: SessionId): Promise<boolean>;
  audit: Audit;
};

/** @returns a function that revokes a token. It throws `database-unavailable` */
export const createTokenRevocation =
  ({ revocations, endSession, audit }: Parts) =>
  async (principal: AnyTokenPrincipal): Promise<void> => {
    const { tokenId, expiresAt } = principal;
    const userId = principal.proof === "client-token" ? null : principal.userId;
    if (principal.proof !== "client-token" && principal.sessionId !== undefined) {
      if (await endSession(principal.userId, principal.sessionId)) return;
    }
    await revocations.revoke(
      {
        subject: tokenId,
        minimumEpoch: maxEpoch,
        expiresAt: new Date(expiresAt.getTime() + clockMarginSeconds * 1000),
      },
      userId,
    );
    audit("token-revoked", identityOf(principal));
  };
