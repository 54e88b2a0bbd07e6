/** The types of the store that counts sign-in attempts and registrations for all instances. */
import type { CanonicalUsername, Network, UserId } from "../identifiers.ts";

/** The account that an attempt is for. */
export type Account = { id: UserId; username: CanonicalUsername; passwordHash: string; tokenEpoch: number };

/** The account whose password is tried: by username, or by id if the user is already known. */
export type AccountReference = { username: CanonicalUsername } | { id: UserId };

/**
 * A counter that an attempt increments. Its limit depends on whether the network is known to the account. If the limit is 0, the
 * attempt does not increment the counter.
 */
export type Counter = { key: string; limitIfKnown: number; limitIfUnknown: number };

/** The value of a counter. `points` includes the attempts in progress. */
export type Count = { points: number; inProgress: number };

export type AttemptStart = {
  reference: AccountReference;
  counters: readonly Counter[];
  countersEndAt: Date;
  /** The keys of the account's failure count, the key under the current SECRET_KEY first. */
  failureKeys: readonly [string, ...string[]];
  maxFailuresIfKnown: number;
  maxFailuresIfUnknown: number;
  failuresExpireAt: Date;
  /** The keys of the account and this network, the key under the current SECRET_KEY first. Empty if the address is unknown. */
  networkKeys: readonly string[];
  now: Date;
};

export type StartedAttempt = {
  /** Whether the account's password or one of its refresh tokens was used in the network before. */
  isKnownNetwork: boolean;
  /** Whether the password was used in the network within the last day, as remembered under the current key. */
  isRecentlyUsedNetwork: boolean;
  /** Whether all counters were below their limits when the statement began. */
  isBelowLimits: boolean;
  /** The keys of the counters that were incremented. */
  reserved: string[];
  /** Whether all counters and the failure count were incremented. Only then may the password be checked. */
  isAdmitted: boolean;
  /** Looked up only for an admitted attempt. `undefined` if there is no such user, or the user is blocked. */
  account: Account | undefined;
  /** The user's id, if the account is blocked. */
  blockedId: UserId | undefined;
  /** The counts by key, for an attempt that is not below the limits. A missing counter is zero. */
  counts: Record<string, Count>;
  /** Consecutive wrong passwords before this attempt, and when they expire. */
  failures: number;
  failuresExpireAtMs: number;
  /** The start time of the server. */
  server: string;
};

/** `wrong`: the attempt stays counted. `unchecked`: it no longer counts. */
export type Outcome = "wrong" | "unchecked";

export type Success = {
  counters: readonly string[];
  failureKeys: readonly string[];
  userId: UserId;
  /** The token epoch when the password hash was read. */
  epoch: number;
};

/** Each method may throw the problem `database-unavailable`. */
export type AttemptStore = {
  /** If all counters and the failure count are below their limits: increments them, and looks up the account. */
  begin(attempt: AttemptStart): Promise<StartedAttempt>;
  /** Completes an attempt whose password was wrong or was not checked. */
  release(attempt: { counters: readonly string[]; failureKeys: readonly string[]; outcome: Outcome }): Promise<void>;
  /**
   * Completes an attempt with the right password: it no longer counts, and the failure count is reset.
   * @returns the token epoch; `undefined` if the password was replaced after the given epoch, or the user was deleted
   */
  succeed(success: Success): Promise<number | undefined>;
  /**
   * Remembers the network of a right password, unless the password was replaced after the given epoch, or another transaction
   * has locked the user.
   */
  rememberNetwork(signIn: { userId: UserId; epoch: number; network: Network; key: string }): Promise<void>;
  /** Increments the counters that are below their limits. @returns their keys */
  reserve(counters: { key: string; limit: number }[], endAt: Date): Promise<string[]>;
  /** Deletes the counts of an account. @returns whether there were any */
  clear(failureKeys: readonly string[]): Promise<boolean>;
};
