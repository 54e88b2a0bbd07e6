/**
 * The record of how long the tokens of this instance live. Revocations are kept until the longest token in use has expired
 * (revocations/revoke.ts), so an instance issues no token before its lifetime is recorded.
 */
import { startPoller } from "../lib/poller.ts";

export type TokenLifetimeStore = {
  /**
   * Records that tokens of this lifetime are issued for the next `forSeconds`. Revocations that are committed before do not
   * know of a new lifetime; they are waited for.
   */
  record(lifetimeSeconds: number, forSeconds: number): Promise<void>;
};

export type TokenLifetime = {
  /** Whether a token may be issued now. */
  isRecorded(): boolean;
  close(): Promise<void>;
};

/** How long a record holds. Revocations are kept for so much longer than tokens live. */
export const recordSeconds = 120;
const intervalMs = 30_000;

type LifetimeOptions = { store: TokenLifetimeStore; lifetimeSeconds: number; onError: (error: unknown) => void };

/** Records the lifetime, and renews the record until `close`. If that fails, it is tried again in the background. */
export async function recordTokenLifetime(options: LifetimeOptions): Promise<TokenLifetime> {
  const { store, lifetimeSeconds, onError } = options;
  // By the monotonic clock, and from before the request: this instance must not believe in the record for longer than the database.
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
  await poller.run().catch(() => {}); // reported to onError
  return { isRecorded: () => performance.now() < recordedUntilMs, close: poller.close };
}
