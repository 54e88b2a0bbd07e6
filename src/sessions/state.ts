/** What is kept of sessions. */
import type { Caller } from "../principal.ts";
import type { Revocation } from "../revocations/revocations.ts";

/** A session as its user sees it. Times are those of the last full hour: they must not tell when a token is used. */
export type Session = {
  id: string;
  createdAt: Date;
  lastUsedAt: Date;
  /** When it ends without a refresh, or in any case, whichever is first. */
  expiresAt: Date;
  userAgent: string | null;
  /** Of the last refresh. */
  address: string | null;
};

/** What a refresh has to know of a session, as the database sees it at one moment. */
export type SessionState = {
  userId: string;
  seed: Buffer;
  generation: number;
  digest: Buffer;
  /** Where the last rotation came from. */
  address: string | null;
  /** Whether it was ended, or its user's epoch is another one by now. */
  isEnded: boolean;
  isExpired: boolean;
  /** How long ago the presented token was used, by the time at which that transaction began; `null` where it was not, or is forgotten. */
  secondsSinceUse: number | null;
  /** The transaction that used it, if its time is known, and for whom; `null` where it was not used, or by an earlier version. */
  rotation: { xid: string | null; network: string } | null;
};

/** What a session grants after a change: for whom, and for how long. */
export type SessionGrant = Caller & { refreshExpiresInSeconds: number };

export type SessionTimes = {
  idleSeconds: number;
  lifetimeSeconds: number;
  graceSeconds: number;
  /** How many sessions of a user may be alive. */
  sessionsPerUser: number;
};

/** Where somebody signs in: kept to be shown in the list of sessions. */
export type Device = { address: string | undefined; userAgent: string | undefined };

/** Which refresh token of a session is the next. */
type Position = { id: string; generation: number; digest: Buffer };

/** What is kept of sessions. All times are the database's: it is the one clock that all instances share. */
export type SessionStore = {
  /**
   * Begins a session, and ends the oldest ones that are too many then.
   * @returns the revocations of the ended ones, kept in the same transaction; `undefined` where the password was changed
   * since the given epoch, or the user deleted
   */
  insert(
    session: { id: string; seed: Buffer; digest: Buffer } & Device & Pick<Caller, "userId" | "epoch">,
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<{ grant: SessionGrant; ended: Revocation[] } | undefined>;
  /**
   * Moves a live session from one generation to the next, if it is still the given one: of many at
   * once, one succeeds.
   */
  rotate(
    from: Position & { nextDigest: Buffer; address: string | undefined; network: string },
    times: SessionTimes,
    tokenSeconds: number,
  ): Promise<SessionGrant | undefined>;
  /**
   * Moves a live session to a later generation, whose token is the next, if it is still the given one.
   * @returns whether it was
   */
  catchUp(from: Position, to: { generation: number; digest: Buffer; network: string }): Promise<boolean>;
  /** Notes that another access token was issued in a generation of a live session. */
  extend(at: { id: string; generation: number }, tokenSeconds: number): Promise<SessionGrant | undefined>;
  /** @param generation of the presented token, whose use is looked for */
  find(id: string, generation: number): Promise<SessionState | undefined>;
  /** Live sessions, the newest first, those before the cursor. */
  list(userId: string, limit: number, cursor: string | undefined): Promise<Session[]>;
  /** Ends a live session of the user. @returns the revocation of its tokens, kept in the same transaction */
  end(userId: string, id: string): Promise<Revocation | undefined>;
  /** The same, and forgets the networks of the user that were learned from refreshes: some may be the thief's. */
  endStolen(userId: string, id: string): Promise<Revocation | undefined>;
};
