/**
 * The record of this instance's token lifetime. Revocations are kept until the longest-lived token in use has expired
 * (revocations/revoke.ts), so an instance issues no token before its lifetime is recorded.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { startPoller } from "../lib/poller.ts";

export type TokenLifetimeStore = {
  /**
   * Records that tokens of this lifetime are issued for the next `forSeconds`.
   * @returns whether a valid record was renewed
   */
  record(lifetimeSeconds: number, forSeconds: number): Promise<boolean>;
  /**
   * The transactions in progress that have revoked, or are about to. They may have decided before the last `record` how long
   * revocations are kept.
   */
  findRevokingTransactions(): Promise<string[]>;
};

export type TokenLifetime = {
  /** Whether a token may be issued now whose epoch was read after a time (`performance.now()`). */
  isRecordedSince(epochReadAfterMs: number): boolean;
  /** Regards the lifetime as not recorded, and records it now. The database may have lost the record, or the time is wrong. */
  recordAgain(): void;
  close(): Promise<void>;
};

/** How long a record is valid. Revocations are kept for this time in addition to the token lifetime. */
export const recordSeconds = 120;
const intervalMs = 30_000;
/** Short, since nobody signs in after a failover before the new server has the record. */
const retry = { firstMs: 250, maxMs: 500 };
/** Most revocations take a few milliseconds. For longer ones, the poller tries again. */
const shortWait = { checks: 10, pauseMs: 20 };

type LifetimeOptions = { store: TokenLifetimeStore; lifetimeSeconds: number; onError: (error: unknown) => void };

/** Records the lifetime, and renews the record until `close`. If that fails, it is retried in the background. */
export async function recordTokenLifetime(options: LifetimeOptions): Promise<TokenLifetime> {
  const { store, lifetimeSeconds, onError } = options;
  let recordedSinceMs = Infinity;
  // By the monotonic clock, from before the request: the record must not seem valid for longer than it is in the database.
  let recordedUntilMs = -Infinity;
  /** The transactions that may revoke without knowing the record; `undefined` if they are not known yet. */
  let awaited: string[] | undefined;
  /** Set by `recordAgain` until the next run begins. A run in progress does not count. */
  let mustRecordAgain = false;

  const forget = (): void => {
    recordedSinceMs = Infinity;
    awaited = undefined;
  };

  /** @throws {Error} if a transaction takes longer */
  const awaitRevocations = async (): Promise<void> => {
    for (let check = 0; check < shortWait.checks; check += 1) {
      if (check > 0) await sleep(shortWait.pauseMs);
      const running = await store.findRevokingTransactions();
      const known = awaited;
      awaited = known ? running.filter((transaction) => known.includes(transaction)) : running;
      if (awaited.length === 0) return;
    }
    throw new Error("A long revocation is in progress. Tokens are issued when it has ended.");
  };

  const poller = startPoller({
    async task() {
      const startedMs = performance.now();
      if (mustRecordAgain) forget();
      mustRecordAgain = false;
      const isRenewed = await store.record(lifetimeSeconds, recordSeconds);
      if (!isRenewed || startedMs > recordedUntilMs) forget();
      recordedUntilMs = startedMs + recordSeconds * 1000;
      if (recordedSinceMs < Infinity) return;
      await awaitRevocations();
      if (!mustRecordAgain) recordedSinceMs = performance.now();
    },
    intervalMs,
    retry,
    onError,
  });
  await poller.run().catch(() => {}); // onError has received the error
  return {
    isRecordedSince: (epochReadAfterMs) => recordedSinceMs <= epochReadAfterMs && performance.now() < recordedUntilMs,
    recordAgain() {
      mustRecordAgain = true;
      recordedSinceMs = Infinity;
      poller.wake();
    },
    close: poller.close,
  };
}
