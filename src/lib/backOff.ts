/** Exponential back-off with jitter, so that clients do not all retry at the same time. */
import { setTimeout as sleep } from "node:timers/promises";

export type BackOff = {
  /** The delay until the next attempt. It doubles with each call, up to the maximum. A random part, up to half, is subtracted. */
  nextDelayMs(): number;
  /** Starts again with the first delay. */
  reset(): void;
};

/** `firstMs` and `maxMs` are the delays before the random part is subtracted. */
export function backOff({ firstMs, maxMs }: { firstMs: number; maxMs: number }): BackOff {
  let delayMs = firstMs;
  return {
    nextDelayMs() {
      const delay = delayMs * (0.5 + Math.random() / 2);
      delayMs = Math.min(2 * delayMs, maxMs);
      return delay;
    },
    reset() {
      delayMs = firstMs;
    },
  };
}

/** A caller waits for the next attempt only if it is due within this time. */
const shortDelayMs = 250;

/**
 * Limits the attempts of an operation that many callers share, such as connecting. After a failure, there is one attempt at a
 * time, with delays in between. A caller waits for an attempt that is running or due within 250 ms. Otherwise it gets the last
 * error at once.
 * @returns a function that makes an attempt or throws the last error
 */
export function withBackOff<T>(attempt: () => Promise<T>, delays: BackOff): () => Promise<T> {
  let failure: { error: unknown; until: number } | undefined;
  let retry: Promise<unknown> | undefined;
  const run = async (): Promise<T> => {
    try {
      const result = await attempt();
      failure = undefined;
      delays.reset();
      return result;
    } catch (error) {
      const now = performance.now();
      // Concurrent failures count as one.
      if (!failure || now >= failure.until) failure = { error, until: now + delays.nextDelayMs() };
      throw error;
    }
  };
  return async () => {
    while (failure) {
      if (retry !== undefined) {
        await retry.catch(() => {});
        if (failure) throw failure.error;
      } else {
        const delayMs = failure.until - performance.now();
        if (delayMs > shortDelayMs) throw failure.error;
        if (delayMs > 0) {
          await sleep(delayMs);
          continue;
        }
        const running = run();
        retry = running.finally(() => {
          retry = undefined;
        });
        retry.catch(() => {});
        return running;
      }
    }
    return run();
  };
}
