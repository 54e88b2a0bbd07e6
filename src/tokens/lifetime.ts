/**
 * The record of this instance's token lifetime. Revocations are kept until the longest-lived token in use has expired
 * (revocations/revoke.ts), so an instance issues no token before its lifetime is recorded.
 */
import { startPoller } from "../lib/poller.ts";

export type TokenLifetimeStore = {
  /**
   * Records that tokens of this lifetime are issued for the next `forSeconds`. For a new lifetime, it waits for revocations in
   * progress, which do not take it into account.
   */
  record(lifetimeSeconds: number, forSeconds: number): Promise<void>;
};

export type TokenLifetime = {
  /** Whether a token may be issued now. */
  isRecorded(): boolean;
  close(): Promise<void>;
};

/** How long a record is valid. Revocations are kept for this time in addition to the token lifetime. */
export const recordSeconds = 120;
const intervalMs = 30_000;

type LifetimeOptions = { store: TokenLifetimeStore; lifetimeSeconds: number; onError: (error: unknown) => void };

/** Records the lifetime, and renews the record until `close`. If that fails, it is retried in the background. */
export async function recordTokenLifetime(options: LifetimeOptions): Promise<TokenLifetime> {
  const { store, lifetimeSeconds, onError } = options;
  // By the monotonic clock, from before the request: the record must not seem valid for longer than it is in the database.
  let recordedUntilMs = -Infinity;
  const poller = startPoller({
    async task() {
      const startedMs = performance.now();
      await store.record(lifetimeSeconds, recordSeconds);
      recordedUntilMs = startedMs + recordSeconds * 1000;
    },
    intervalMs,
    retry: { firstMs: 250, maxMs: 2_000 },
    onError,
  });
  await poller.run().catch(() => {}); // onError has received the error
  return { isRecorded: () => performance.now() < recordedUntilMs, close: poller.close };
}
