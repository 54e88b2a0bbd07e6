/** A device polls for the decision of its user, and redeems the device code (RFC 8628, sections 3.4 and 3.5). */
import type { Audit } from "../../audit/audit.ts";
import type { SessionId, UserId } from "../../identifiers.ts";
import { Problem } from "../../problems/problems.ts";
import type { Revocation } from "../../revocations/revocations.ts";
import type { ClientSessions } from "../../sessions/clients/clientSessions.ts";
import { deviceCodeDigest } from "../devices/deviceCodes.ts";
import type { DeviceCodeState, DeviceCodeStore } from "../devices/storeTypes.ts";
import { narrowedAccess } from "../requestedAccess.ts";
import { type GrantHandler, invalidGrant, requireParameter } from "./grant.ts";
import type { IssueUserTokens } from "./userTokens.ts";

type Parts = {
  store: Pick<DeviceCodeStore, "poll" | "redeem">;
  sessions: ClientSessions;
  issueUserTokens: IssueUserTokens;
  /** Ends the session of a code that is used again, with its tokens. */
  endReplayedSession(userId: UserId, sessionId: SessionId): Promise<Revocation | undefined>;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

/** What the device is told before the user has allowed it, or after. */
const refusals: Partial<Record<DeviceCodeState, () => Problem>> = {
  pending: () => new Problem("authorization-pending"),
  early: () => new Problem("slow-down"),
  expired: () => new Problem("device-code-expired"),
  denied: () => new Problem("access-denied"),
};

export const deviceCode =
  ({ store, sessions, issueUserTokens, endReplayedSession, enforce, audit }: Parts): GrantHandler =>
  async (client, parameters, proofKey) => {
    const digest = deviceCodeDigest(requireParameter(parameters, "device_code"));
    const polled = await store.poll(digest, client.id);
    if (polled?.state === "replayed" && polled.userId && polled.sessionId) {
      const ended = await endReplayedSession(polled.userId, polled.sessionId);
      if (ended) {
        audit("device-code-reused", { userId: polled.userId, sessionId: polled.sessionId });
        enforce(ended);
      }
    }
    if (polled?.state !== "allowed") throw polled ? (refusals[polled.state]?.() ?? invalidGrant()) : invalidGrant();
    // Before the code is used up.
    narrowedAccess({ audience: polled.audience, scopes: [] }, { resource: parameters.resource });
    const prepared = sessions.prepare(client, proofKey);
    const session = await store.redeem(digest, prepared.values);
    if (!session) throw invalidGrant();
    sessions.report(prepared, session);
    return issueUserTokens({ client, prepared, session, proofKey });
  };
