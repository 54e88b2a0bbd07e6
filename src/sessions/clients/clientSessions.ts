/**
 * Sessions of clients: what a user has allowed a client lasts as a session, which the user sees and can end. The client refreshes
 * it like any other. Without the grant `refresh_token`, it expires with its only access token.
 */
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../../audit/audit.ts";
import { clientSubject } from "../../clients/clients.ts";
import type { Client } from "../../clients/storeTypes.ts";
import { type ClientId, type SessionId, sessionId, type UserId } from "../../identifiers.ts";
import { requestContext } from "../../requestContext.ts";
import { clockMarginSeconds, type Revocation } from "../../revocations/revocations.ts";
import type { AccessTokens, IssueToken, TokenClient } from "../../tokens/accessTokens.ts";
import { digestOf, formatToken, type RefreshSecrets } from "../refreshSecrets.ts";
import type { ReplayEvent, SessionGrant, SessionStore, SessionTimes } from "../storeTypes.ts";

/** The values of `startParameters` (store.ts). */
export type ClientSessionValues = {
  clientId: ClientId;
  /** The audience of this service. */
  issuer: string;
  kept: number;
  sessionId: SessionId;
  seed: Buffer;
  refreshDigest: Buffer;
  idle: number;
  lifetime: number;
  /** The thumbprint of the key that the refresh token is bound to. */
  refreshKey: string | null;
  tokens: number;
  userAgent: string | null;
  address: string | null;
};

/** A session that a store is about to start. */
export type PreparedSession = {
  values: ClientSessionValues;
  issue: IssueToken;
  /** `undefined` if the client cannot refresh. */
  refreshToken: string | undefined;
};

/** A session that a store has started. */
export type StartedClientSession = SessionGrant & {
  audience: string;
  scopes: string[];
  authenticatedAt: Date;
  /** The revocations of the sessions that it has ended, from the same transaction. */
  ended: Revocation[];
};

type ReplayedSession = { userId: UserId; sessionId: SessionId; clientId: ClientId };

export type ClientSessions = ReturnType<typeof createClientSessions>;

type Parts = {
  tokens: Pick<AccessTokens, "ttlSeconds" | "prepare">;
  secrets: RefreshSecrets;
  times: SessionTimes;
  store: Pick<SessionStore, "endReplayed">;
  /** The audience of this service. */
  issuer: string;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  audit: Audit;
};

export function createClientSessions({ tokens, secrets, times, store, issuer, enforce, audit }: Parts) {
  /**
   * Call it before the store decides: the lifetime of the access token begins now.
   * @param proofKey of the DPoP proof. It binds the refresh token of a public client, which has no other authentication (RFC 9449,
   * section 5)
   * @throws {Problem} `database-unavailable`
   */
  function prepare(client: Client, proofKey: string | undefined): PreparedSession {
    const issue = tokens.prepare(performance.now());
    const id = sessionId(uuidv7());
    const seed = secrets.newSeed();
    const secret = secrets.derive(id, seed, 0);
    const canRefresh = client.grantTypes.includes("refresh_token");
    const { address = null, userAgent = null } = requestContext();
    const values = {
      clientId: client.id,
      issuer,
      kept: times.sessionsPerUser - 1,
      sessionId: id,
      seed,
      refreshDigest: digestOf(secret),
      idle: canRefresh ? times.idleSeconds : tokens.ttlSeconds,
      lifetime: canRefresh ? times.lifetimeSeconds : tokens.ttlSeconds,
      refreshKey: client.authentication === "none" && proofKey !== undefined ? proofKey : null,
      tokens: tokens.ttlSeconds + clockMarginSeconds,
      userAgent,
      address,
    };
    return { values, issue, refreshToken: canRefresh ? formatToken(id, secret) : undefined };
  }

  /** Enforces and reports what a store has done. */
  function report({ values: { sessionId, clientId } }: PreparedSession, { userId, ended }: StartedClientSession): void {
    audit("session-created", { userId, sessionId, clientId });
    for (const revocation of ended) {
      enforce(revocation);
      audit("session-ended", { userId, sessionId: revocation.subject, reason: "too-many" });
    }
  }

  /**
   * Ends the session that a code has started, and its tokens, because the code was used again: someone may have a copy.
   * @throws {Problem} `database-unavailable`
   */
  async function endReplayed(event: ReplayEvent, { userId, sessionId, clientId }: ReplayedSession): Promise<void> {
    const ended = await store.endReplayed(event, userId, sessionId);
    if (!ended) return;
    enforce(ended);
    audit(event, { userId, sessionId, clientId });
  }

  return { prepare, report, endReplayed };
}

/** What the tokens that are issued to a client contain about it. */
export const tokenClientOf = ({ id, version }: Pick<Client, "id" | "version">): TokenClient => ({
  id,
  epochs: { [clientSubject(id)]: version },
});
