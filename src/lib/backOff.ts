/** Delays between attempts that fail: exponential with jitter, so that many clients do not return at once. */
import { setTimeout as sleep } from "node:timers/promises";

export type BackOff = {
  /** Milliseconds until the next attempt: twice as long after each call, up to the maximum, less up to a half by chance. */
  nextDelayMs(): number;
  /** The next delay is the first one again. */
  reset(): void;
};

/** @param firstMs before jitter, as is `mostMs` */
export function backOff({ firstMs, mostMs }: { firstMs: number; mostMs: number }): BackOff {
  let delayMs = firstMs;
  return {
    nextDelayMs() {
      const delay = delayMs * (0.5 + Math.random() / 2);
      delayMs = Math.min(2 * delayMs, mostMs);
      return delay;
    },
    reset() {
      delayMs = firstMs;
    },
  };
}

/** Callers wait for an attempt that is due so soon, rather than fail. */
const shortDelayMs = 250;

/**
 * Limits attempts of the same thing, such as connecting. After a failure there is one attempt at a time, with a delay
 * between them. Callers wait for the outcome of the attempt that runs, or begins within 250 ms; before that they get the
 * last error at once.
 * @returns a function that attempts it, or throws the last error
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
      // Attempts that failed together count as one.
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
