/** The types of the session store. */
import type { TokenLimits } from "../access/grants.ts";
import type { CanonicalUsername, ClientId, Network, SessionId, UserId } from "../identifiers.ts";
import type { Caller } from "../principal.ts";
import type { Revocation } from "../revocations/revocations.ts";

/** A session in the list of its user. Times are rounded to hours, because they must not reveal when a token is used. */
export type Session = TokenLimits & {
  id: SessionId;
  createdAt: Date;
  lastUsedAt: Date;
  /** The earlier of two times: the session expires without a refresh, or its lifetime ends. */
  expiresAt: Date;
  userAgent: string | null;
  /** Of the last refresh. */
  address: string | null;
  clientId: ClientId | null;
};

/** What never changes in a session. */
export type SessionConstants = TokenLimits & {
  userId: UserId;
  /** The client that the session was started for. `null`: the user's own program. */
  clientId: ClientId | null;
  /** The thumbprint of the key that its refresh tokens are bound to. `null`: they are bound to none. */
  refreshKey: string | null;
  seed: Uint8Array;
};

/** The state of a session that a refresh needs, from one snapshot of the database. */
export type SessionState = TokenLimits & {
  userId: UserId;
  clientId: ClientId | null;
  refreshKey: string | null;
  username: CanonicalUsername;
  seed: Buffer;
  generation: number;
  digest: Buffer;
  /** The client address of the last rotation. */
  address: string | null;
  /** Whether this session, or all sessions of its user, were ended. */
  isEnded: boolean;
  isExpired: boolean;
  /** When the session ends without another refresh. */
  expiresAt: Date;
  /** The time since the transaction that used the presented token began. `null` if it was not used, or the use is not stored. */
  secondsSinceUse: number | null;
  /** The transaction that used it, and the client network. `null` if it was not used, or by an earlier version. */
  rotation: { xid: string | null; network: string } | null;
};

/** The user of a session, and how long it can be refreshed. */
export type SessionGrant = Caller & {
  /** When the user authenticated. */
  authenticatedAt: Date;
  refreshExpiresInSeconds: number;
};

export type SessionTimes = {
  idleSeconds: number;
  lifetimeSeconds: number;
  graceSeconds: number;
  /** How many live sessions a user may have. */
  sessionsPerUser: number;
};

/** Where a user signs in. Shown in the list of sessions. */
export type Device = { address: string | undefined; userAgent: string | undefined };

/** `isBrowser`: the digest is that of a cookie, and there is no refresh token. */
export type NewSession = TokenLimits & { id: SessionId; seed: Buffer; digest: Buffer; isBrowser?: boolean };

/** The audit events of a code that was used again. */
export type ReplayEvent = "authorization-code-reused" | "device-code-reused";

/** The expected refresh token of a session. */
type Position = { id: SessionId; generation: number; digest: Buffer };

/** All times are those of the database, the clock that all instances share. */
export type SessionStore = {
  /**
   * Creates a session, and ends the oldest sessions beyond the limit.
   * @returns the session's grant, and the revocations of the ended sessions from the same transaction; `undefined` if the
   * password was changed after the given epoch, or the user was deleted
   */
  insert(
    session: NewSession & Device & Pick<Caller, "userId" | "epoch">,
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<{ grant: SessionGrant; ended: Revocation[] } | undefined>;
  /**
   * Moves a live session from the given generation to the next. One of several concurrent calls succeeds.
   * @returns the grant and the address of the previous rotation; `undefined` if the session is not live, or expects another
   * token
   */
  rotate(
    from: Position & { nextDigest: Buffer; address: string | undefined; network: Network },
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<(SessionGrant & { previousAddress: string | null }) | undefined>;
  /**
   * Moves a live session from the given generation to a later one, whose token becomes the expected one.
   * @returns whether the session was moved
   */
  catchUp(from: Position, to: { generation: number; digest: Buffer; network: Network }): Promise<boolean>;
  /** Records that another access token was issued in a generation of a live session. */
  extend(at: { id: SessionId; generation: number }, tokenSeconds: number): Promise<SessionGrant | undefined>;
  /**
   * @param generation the generation of the presented token
   * @returns the state, and the start time of the server that was asked
   */
  find(id: SessionId, generation: number): Promise<{ state: SessionState | undefined; server: string }>;
  /** Live sessions, the newest first. With a cursor, those after it in this order. */
  list(userId: UserId, limit: number, cursor: string | undefined): Promise<Session[]>;
  /** Ends a live session of the user. @returns the revocation of its tokens, stored in the same transaction */
  end(userId: UserId, id: SessionId): Promise<Revocation | undefined>;
  /** Like `end`, because the code that started the session was used again. */
  endReplayed(event: ReplayEvent, userId: UserId, id: SessionId): Promise<Revocation | undefined>;
  /**
   * Like `end`, and forgets the user's networks that refreshes have made known: the thief may have used some of them.
   * @param reason why the token is regarded as stolen, for the audit event
   */
  endStolen(userId: UserId, id: SessionId, reason: string): Promise<Revocation | undefined>;
};
