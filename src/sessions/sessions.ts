/** Sessions: a user stays signed in for longer than the lifetime of an access token. */
import QuickLRU from "quick-lru";
import { v7 as uuidv7 } from "uuid";
import type { Audit } from "../audit/audit.ts";
import { type Network, type SessionId, sessionId, type UserId } from "../identifiers.ts";
import type { Caller, PasswordPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { AccessTokens, IssueToken } from "../tokens/accessTokens.ts";
import { withCurrentPassword } from "../users/currentPassword.ts";
import { createRefresh, type Refreshed } from "./refresh.ts";
import { digestOf, formatToken, parseToken, type RefreshSecrets } from "./refreshSecrets.ts";
import type { Device, Session, SessionStore, SessionTimes } from "./storeTypes.ts";

/** The tokens that a client receives. */
export type SessionTokens = {
  id: SessionId;
  userId: UserId;
  accessToken: string;
  refreshToken: string;
  refreshExpiresInSeconds: number;
  expiresInSeconds: number;
};

export type Sessions = ReturnType<typeof createSessions>;

type Parts = {
  store: SessionStore;
  tokens: AccessTokens;
  secrets: RefreshSecrets;
  times: SessionTimes;
  /** How long a transaction has been visible to others, in seconds (src/database/commitHistory.ts). */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  /** Called after a refresh from another network than the previous one. Must not throw. */
  onNetworkChange?: (user: Pick<Caller, "userId" | "username">, network: Network, sessionId: SessionId) => void;
  audit: Audit;
};

/** The number of sessions whose seeds are kept in memory. */
const maxSeeds = 10_000;

export function createSessions({ store, tokens, secrets, times, enforce, audit, ...parts }: Parts) {
  const seeds = new QuickLRU<string, Uint8Array>({ maxSize: maxSeeds });
  const exchange = createRefresh({
    store,
    secrets,
    seeds,
    times,
    tokenSeconds: tokens.ttlSeconds,
    secondsVisible: parts.secondsVisible,
    endStolenSession: (userId, id, reason) => applyEnd(store.endStolen(userId, id, reason)),
    onNetworkChange: parts.onNetworkChange ?? (() => {}),
    audit,
  });

  /** @throws {Problem} `invalid-credentials` if the password was changed meanwhile */
  async function create(principal: PasswordPrincipal, device: Device): Promise<SessionTokens> {
    const issue = tokens.prepare(performance.now());
    const id = sessionId(uuidv7());
    const seed = secrets.newSeed();
    const secret = secrets.derive(id, seed, 0);
    const inserted = await withCurrentPassword(principal, ({ userId, epoch }) =>
      store.insert({ id, seed, digest: digestOf(secret), ...device, userId, epoch }, times, tokens.ttlSeconds),
    );
    if (!inserted) throw new Problem("invalid-credentials");
    seeds.set(id, seed);
    const { userId } = inserted.grant;
    audit("session-created", { userId, sessionId: id });
    for (const revocation of inserted.ended) {
      enforce(revocation);
      audit("session-ended", { userId, sessionId: revocation.subject, reason: "too-many" });
    }
    return issueTokens({ id, secret, grant: inserted.grant }, issue);
  }

  /** @throws {Problem} `invalid-token`, `token-expired`, `token-revoked`, `token-reused` */
  async function refresh(text: string, address: string | undefined): Promise<SessionTokens> {
    const issue = tokens.prepare(performance.now());
    const token = parseToken(text);
    try {
      return issueTokens(await exchange(token, address), issue);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        audit("refresh-refused", { sessionId: token?.sessionId, reason: error.slug });
      }
      throw error;
    }
  }

  function issueTokens({ id, secret, grant }: Refreshed, issue: IssueToken): SessionTokens {
    // No token outlives its session.
    const expiresInSeconds = Math.max(1, Math.min(tokens.ttlSeconds, grant.refreshExpiresInSeconds));
    return {
      id,
      userId: grant.userId,
      accessToken: issue(grant, { sessionId: id, seconds: expiresInSeconds }),
      expiresInSeconds,
      refreshToken: formatToken(id, secret),
      refreshExpiresInSeconds: grant.refreshExpiresInSeconds,
    };
  }

  /** Ends a session of a user, and revokes its tokens. `reason`: who ended it instead of the user. @returns whether there was such a live session */
  async function end(userId: UserId, id: SessionId, reason?: "administrator" | "operator"): Promise<boolean> {
    const hasEnded = await applyEnd(store.end(userId, id));
    if (hasEnded) audit("session-ended", { userId, sessionId: id, ...(reason && { reason }) });
    return hasEnded;
  }

  /** Waits for the end of a session, and applies its revocation here. @returns whether a session was ended */
  async function applyEnd(ending: Promise<Revocation | undefined>): Promise<boolean> {
    const revocation = await ending;
    if (revocation) enforce(revocation);
    return revocation !== undefined;
  }

  /** A page of the user's live sessions, and the cursor of the next page. */
  async function list(
    { userId }: Pick<Caller, "userId">,
    limit: number,
    cursor: string | undefined,
  ): Promise<{ sessions: Session[]; nextCursor: string | undefined }> {
    const found = await store.list(userId, limit + 1, cursor);
    const sessions = found.slice(0, limit);
    return { sessions, nextCursor: found.length > limit ? sessions.at(-1)?.id : undefined };
  }

  return { create, refresh, list, end };
}
