/** What is stored of sessions. */
import type { Network, SessionId, UserId } from "../identifiers.ts";
import type { Caller } from "../principal.ts";
import type { Revocation } from "../revocations/revocations.ts";

/** A session as its user sees it. Times are rounded to hours: they must not reveal when a token is used. */
export type Session = {
  id: SessionId;
  createdAt: Date;
  lastUsedAt: Date;
  /** When it expires without a refresh, or its lifetime ends, whichever is first. */
  expiresAt: Date;
  userAgent: string | null;
  /** Of the last refresh. */
  address: string | null;
};

/** What a refresh needs to know of a session, from one snapshot of the database. */
export type SessionState = {
  userId: UserId;
  seed: Buffer;
  generation: number;
  digest: Buffer;
  /** The client address of the last rotation. */
  address: string | null;
  /** Whether it was ended, or all sessions of its user were. */
  isEnded: boolean;
  isExpired: boolean;
  /** Since the transaction that used the presented token began. `null` if none did, or if that is no longer stored. */
  secondsSinceUse: number | null;
  /** The transaction that used it, and the client network. `null` if it was not used, or by an earlier version. */
  rotation: { xid: string | null; network: string } | null;
};

/** What a session grants: to whom, and for how long. */
export type SessionGrant = Caller & { refreshExpiresInSeconds: number };

export type SessionTimes = {
  idleSeconds: number;
  lifetimeSeconds: number;
  graceSeconds: number;
  /** How many live sessions a user may have. */
  sessionsPerUser: number;
};

/** Where a user signs in: shown in the list of sessions. */
export type Device = { address: string | undefined; userAgent: string | undefined };

/** The expected refresh token of a session. */
type Position = { id: SessionId; generation: number; digest: Buffer };

/** All times are those of the database, the clock that all instances share. */
export type SessionStore = {
  /**
   * Creates a session, and ends the oldest ones beyond the limit.
   * @returns the revocations of those, from the same transaction; `undefined` if the password was changed since the given
   * epoch, or the user deleted
   */
  insert(
    session: { id: SessionId; seed: Buffer; digest: Buffer } & Device & Pick<Caller, "userId" | "epoch">,
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<{ grant: SessionGrant; ended: Revocation[] } | undefined>;
  /**
   * Moves a live session from the given generation to the next: one of several concurrent calls succeeds.
   * @returns the address of the rotation before, too
   */
  rotate(
    from: Position & { nextDigest: Buffer; address: string | undefined; network: Network },
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<(SessionGrant & { previousAddress: string | null }) | undefined>;
  /**
   * Moves a live session to a later generation, whose token is the next, if it is still the given one.
   * @returns whether it was
   */
  catchUp(from: Position, to: { generation: number; digest: Buffer; network: Network }): Promise<boolean>;
  /** Notes that another access token was issued in a generation of a live session. */
  extend(at: { id: SessionId; generation: number }, tokenSeconds: number): Promise<SessionGrant | undefined>;
  /** @param generation of the presented token, whose use is looked for */
  find(id: SessionId, generation: number): Promise<SessionState | undefined>;
  /** Live sessions, the newest first, those before the cursor. */
  list(userId: UserId, limit: number, cursor: string | undefined): Promise<Session[]>;
  /** Ends a live session of the user. @returns the revocation of its tokens, kept in the same transaction */
  end(userId: UserId, id: SessionId): Promise<Revocation | undefined>;
  /** The same, and forgets the networks of the user that were learned from refreshes: some may be the thief's. */
  endStolen(userId: UserId, id: SessionId): Promise<Revocation | undefined>;
};
