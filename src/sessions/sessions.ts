/** Sessions: a user stays signed in for longer than the lifetime of an access token. */

import QuickLRU from "quick-lru";
import { v7 as uuidv7 } from "uuid";
import { type Grants, type TokenRequest, unlimited } from "../access/grants.ts";
import type { Audit } from "../audit/audit.ts";
import { type ClientId, type Network, type SessionId, sessionId, type UserId } from "../identifiers.ts";
import { type Page, readPage } from "../lib/page.ts";
import type { Caller, PasswordPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import type { Revocation } from "../revocations/revocations.ts";
import type { AccessTokens, IssueToken, TokenClient } from "../tokens/accessTokens.ts";
import { withCurrentPassword } from "../users/currentPassword.ts";
import { createRefresh, type GrantOf, type Refreshed, type RefreshRequest } from "./refresh.ts";
import { digestOf, formatToken, parseToken, type RefreshSecrets } from "./refreshSecrets.ts";
import type {
  Device,
  NewSession,
  Session,
  SessionConstants,
  SessionGrant,
  SessionState,
  SessionStore,
  SessionTimes,
} from "./storeTypes.ts";

/** The tokens that a client receives. */
export type SessionTokens = Pick<SessionGrant, "userId" | "username" | "authenticatedAt"> & {
  id: SessionId;
  accessToken: string;
  refreshToken: string;
  refreshExpiresInSeconds: number;
  expiresInSeconds: number;
  /** The scopes that the access token is limited to; `undefined` without a limit. */
  scopes: readonly string[] | undefined;
};

export type Sessions = ReturnType<typeof createSessions>;

type Parts = {
  store: SessionStore;
  tokens: Pick<AccessTokens, "ttlSeconds" | "prepare">;
  grants: Grants;
  secrets: RefreshSecrets;
  times: SessionTimes;
  /** How long a transaction has been visible to others, in seconds (src/database/commitHistory.ts). */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
  /**
   * Confirms that the server was still the primary when it did not have a session (src/database/serverCheck.ts).
   * @throws {Problem} `database-unavailable`
   */
  confirmServer(server: string): Promise<void>;
  /** Applies a revocation on this instance at once. */
  enforce(revocation: Revocation): void;
  /** Called after a refresh from another network than the previous one. Must not throw. */
  onNetworkChange?: (user: Pick<Caller, "userId" | "username">, network: Network, sessionId: SessionId) => void;
  audit: Audit;
};

/** A session whose refresh token was presented. */
export type RefreshableSession = Pick<SessionState, "userId" | "username" | "clientId" | "expiresAt"> & {
  id: SessionId;
};

/** Those of no session. */
const unknownSeed = Buffer.alloc(32);
const unknownDigest = Buffer.alloc(32);

/** The number of sessions whose constants are kept in memory. */
const maxConstants = 10_000;

export function createSessions({ store, tokens, grants, secrets, times, enforce, audit, ...parts }: Parts) {
  const constants = new QuickLRU<string, SessionConstants>({ maxSize: maxConstants });
  const exchange = createRefresh({
    store,
    secrets,
    constants,
    times,
    tokenSeconds: tokens.ttlSeconds,
    secondsVisible: parts.secondsVisible,
    confirmServer: parts.confirmServer,
    endStolenSession: (userId, id, reason) => applyEnd(store.endStolen(userId, id, reason)),
    onNetworkChange: parts.onNetworkChange ?? (() => {}),
    audit,
  });

  /**
   * @param request what all tokens of the session are limited to
   * @throws {Problem} `invalid-credentials` if the password was changed meanwhile; `invalid-target`, `invalid-scope`
   */
  async function create(
    principal: PasswordPrincipal,
    device: Device,
    request: TokenRequest = {},
  ): Promise<SessionTokens> {
    const limits = await grants.narrow(unlimited, request);
    const issue = tokens.prepare(performance.now());
    const id = sessionId(uuidv7());
    const seed = secrets.newSeed();
    const secret = secrets.derive(id, seed, 0);
    const grant = await insert(principal, device, { id, seed, digest: digestOf(secret), ...limits });
    const { userId } = grant;
    constants.set(id, { userId, clientId: null, refreshKey: null, seed, ...limits });
    const tokenGrant = await grants.grant(userId, limits);
    return issueTokens({ id, secret, grant, tokenGrant }, issue);
  }

  /**
   * Stores a session, and ends the user's oldest sessions beyond the limit.
   * @throws {Problem} `invalid-credentials` if the password was changed meanwhile
   */
  async function insert(principal: PasswordPrincipal, device: Device, session: NewSession): Promise<SessionGrant> {
    const inserted = await withCurrentPassword(principal, ({ userId, epoch }) =>
      store.insert({ ...session, ...device, userId, epoch }, times, tokens.ttlSeconds),
    );
    if (!inserted) throw new Problem("invalid-credentials");
    const { userId } = inserted.grant;
    audit("session-created", { userId, sessionId: session.id });
    for (const revocation of inserted.ended) {
      enforce(revocation);
      audit("session-ended", { userId, sessionId: revocation.subject, reason: "too-many" });
    }
    return inserted.grant;
  }

  /**
   * @param request what the next access token is limited to. It cannot exceed the limits of the session
   * @throws {Problem} `invalid-token`, `token-expired`, `token-revoked`, `token-reused`, `invalid-target`, `invalid-scope`
   */
  async function refresh(
    text: string,
    address: string | undefined,
    request: TokenRequest = {},
  ): Promise<SessionTokens> {
    const grantOf: GrantOf = async ({ userId, ...limits }) =>
      grants.grant(userId, await grants.narrow(limits, request));
    return refreshFor(null, { text, address, grantOf });
  }

  /**
   * Refreshes the session of a registered client, or with `null` that of the user's own program. A token that another one has got,
   * or that is bound to another key, is an `invalid-token`.
   * @throws {Problem} as `refresh`, or what `grantOf` throws
   */
  async function refreshFor(
    client: TokenClient | null,
    { text, address, grantOf }: { text: string } & Pick<RefreshRequest, "address" | "grantOf">,
  ): Promise<SessionTokens> {
    const issue = tokens.prepare(performance.now());
    const token = parseToken(text);
    const presented = { clientId: client?.id ?? null, proofKey: client?.boundTo, address, grantOf };
    try {
      return await issueTokens(await exchange(token, presented), issue, client);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        audit("refresh-refused", { sessionId: token?.sessionId, reason: error.slug });
      }
      throw error;
    }
  }

  async function issueTokens(
    { id, secret, grant, tokenGrant }: Refreshed,
    issue: IssueToken,
    client?: TokenClient | null,
  ): Promise<SessionTokens> {
    // No token outlives its session.
    const ttlSeconds = tokenGrant?.seconds ?? tokens.ttlSeconds;
    const expiresInSeconds = Math.max(1, Math.min(ttlSeconds, grant.refreshExpiresInSeconds));
    const { userId, username, authenticatedAt } = grant;
    return {
      id,
      userId,
      username,
      authenticatedAt,
      accessToken: await issue(grant, {
        sessionId: id,
        grant: tokenGrant,
        seconds: expiresInSeconds,
        client: client ? { ...client, authenticatedAt } : undefined,
      }),
      expiresInSeconds,
      scopes: tokenGrant?.scopes,
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

  /**
   * Looks up the session of a refresh token without using the token.
   * @returns `undefined` unless the session is live and expects this token. The work does not depend on why
   */
  async function inspect(text: string): Promise<RefreshableSession | undefined> {
    const token = parseToken(text);
    if (!token) return undefined;
    const { state } = await store.find(token.sessionId, token.generation);
    const isGenuine = secrets.isGenuine(token, state?.seed ?? unknownSeed);
    const isExpected = digestOf(token.secret).equals(state?.digest ?? unknownDigest);
    if (!state || !isGenuine || !isExpected || state.isEnded || state.isExpired) return undefined;
    const { userId, username, clientId, expiresAt } = state;
    return { id: token.sessionId, userId, username, clientId, expiresAt };
  }

  /**
   * Ends the session of a refresh token. The token may have been used: its holder could end the session by using it again.
   * @param by the client that ends it. The session of another client is not ended
   * @returns whether a session was ended
   */
  async function endByRefreshToken(text: string, by?: ClientId): Promise<boolean> {
    const token = parseToken(text);
    if (!token) return false;
    const { state } = await store.find(token.sessionId, token.generation);
    if (!state || !secrets.isGenuine(token, state.seed)) return false;
    if (by !== undefined && state.clientId !== by) return false;
    return end(state.userId, token.sessionId);
  }

  /** Waits for the end of a session, and applies its revocation here. @returns whether a session was ended */
  async function applyEnd(ending: Promise<Revocation | undefined>): Promise<boolean> {
    const revocation = await ending;
    if (revocation) enforce(revocation);
    return revocation !== undefined;
  }

  /** The user's live sessions, the newest first. The cursors are ids. */
  const list = ({ userId }: Pick<Caller, "userId">, limit: number, after: string | undefined): Promise<Page<Session>> =>
    readPage(
      limit,
      (count) => store.list(userId, count, after),
      ({ id }) => id,
    );

  return { create, insert, refresh, refreshFor, list, end, inspect, endByRefreshToken };
}
