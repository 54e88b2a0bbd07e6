/** What is stored of sign-in attempts and registrations. All instances share it. */
import type { CanonicalUsername, Network, UserId } from "../identifiers.ts";

/** The account that an attempt is for. */
export type Account = { id: UserId; username: CanonicalUsername; passwordHash: string; tokenEpoch: number };

/** Whose password is tried: a username, or the id of a user who is known already. */
export type AccountReference = { username: CanonicalUsername } | { id: UserId };

/**
 * A counter that an attempt increments. Attempts from networks that are known to the account and attempts from other
 * networks count in different counters, or have different limits: 0 means that the counter does not apply.
 */
export type Counter = { key: string; limitIfKnown: number; limitIfUnknown: number };

/** The points of a counter include those of attempts in progress. */
export type Count = { points: number; inProgress: number };

export type AttemptStart = {
  reference: AccountReference;
  counters: readonly Counter[];
  countersEndAt: Date;
  /** The keys of the account's failure count. Under the current SECRET_KEY first. */
  failureKeys: readonly [string, ...string[]];
  maxFailuresIfKnown: number;
  maxFailuresIfUnknown: number;
  failuresExpireAt: Date;
  /** The keys of the account's known network. Under the current SECRET_KEY first; none if the network cannot be known. */
  networkKeys: readonly string[];
  now: Date;
};

export type StartedAttempt = {
  /** Whether the account's password, or one of its refresh tokens, was used from the network. */
  isKnownNetwork: boolean;
  /** Whether the password was used from the network within the last day, under the current key. */
  isRecentlyUsedNetwork: boolean;
  /** All counters were below their limits when the statement began. */
  isBelowLimits: boolean;
  /** The keys of the counters that were incremented. */
  reserved: string[];
  /** Whether the failure count was incremented as well: the password may be checked. */
  isAdmitted: boolean;
  /** `undefined` if there is no such user. Looked up only for an attempt that is admitted. */
  account: Account | undefined;
  /** The counts by key, for an attempt that is not below the limits. Counters without points are missing. */
  counts: Record<string, Count>;
  /** Consecutive wrong passwords before this attempt, and when they expire. */
  failures: number;
  failuresExpireAtMs: number;
};

/** `wrong`: it stays counted. `unchecked`: as if there had been no attempt. */
export type Outcome = "wrong" | "unchecked";

export type Success = {
  counters: readonly string[];
  failureKeys: readonly string[];
  userId: UserId;
  epoch: number;
  /** The network to remember. `undefined` if it is unknown, or was remembered within the last day. */
  network: { name: Network; key: string } | undefined;
};

/** Each method may throw the problem `database-unavailable`. */
export type AttemptStore = {
  /** Increments all counters and the failure count if all are below their limits, and looks up the account. */
  begin(attempt: AttemptStart): Promise<StartedAttempt>;
  /** Settles an attempt without the right password. */
  release(attempt: { counters: readonly string[]; failureKeys: readonly string[]; outcome: Outcome }): Promise<void>;
  /**
   * Settles an attempt with the right password: it does not count, resets the failure count, and makes its network known.
   * @returns the token epoch; `undefined` if the password was replaced, or the user deleted, since the given epoch
   */
  succeed(success: Success): Promise<number | undefined>;
  /** Increments counters that are below their limits. @returns the keys of these */
  reserve(counters: { key: string; limit: number }[], endAt: Date): Promise<string[]>;
  /** Deletes what is counted for accounts. @returns whether there was anything */
  clear(failureKeys: readonly string[]): Promise<boolean>;
};
