/** A device polls for the decision of its user, and redeems the device code (RFC 8628, sections 3.4 and 3.5). */
import { Problem } from "../../problems/problems.ts";
import type { ClientSessions } from "../../sessions/clients/clientSessions.ts";
import { digestOfCode } from "../codes/codes.ts";
import type { DeviceCodeState, DeviceCodeStore } from "../devices/storeTypes.ts";
import { narrowedAccess, scopesAsked } from "../requestedAccess.ts";
import { type GrantHandler, invalidGrant, requireParameter } from "./grant.ts";
import type { IssueUserTokens } from "./userTokens.ts";

type Parts = {
  store: Pick<DeviceCodeStore, "poll" | "redeem">;
  sessions: ClientSessions;
  issueUserTokens: IssueUserTokens;
};

/** The responses in the states in which a code cannot be redeemed. */
const refusals: Partial<Record<DeviceCodeState, () => Problem>> = {
  pending: () => new Problem("authorization-pending"),
  early: () => new Problem("slow-down"),
  expired: () => new Problem("device-code-expired"),
  denied: () => new Problem("access-denied"),
};

export const deviceCode =
  ({ store, sessions, issueUserTokens }: Parts): GrantHandler =>
  async (client, parameters, proofKey) => {
    const digest = digestOfCode(requireParameter(parameters, "device_code"));
    const limit = scopesAsked(parameters.scope);
    const polled = await store.poll(digest, client.id);
    if (polled?.state === "replayed" && polled.userId && polled.sessionId) {
      const { userId, sessionId } = polled;
      await sessions.endReplayed("device-code-reused", { userId, sessionId, clientId: client.id });
    }
    if (polled?.state !== "allowed") throw polled ? (refusals[polled.state]?.() ?? invalidGrant()) : invalidGrant();
    // Before the code is used up.
    narrowedAccess({ audience: polled.audience, scopes: [] }, { resource: parameters.resource });
    const prepared = sessions.prepare(client, proofKey);
    const session = await store.redeem(digest, prepared.values);
    if (!session) throw invalidGrant();
    sessions.report(prepared, session);
    return issueUserTokens({ client, prepared, session, proofKey, limit });
  };
