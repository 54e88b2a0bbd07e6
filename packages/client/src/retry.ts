/** Retries requests that are safe to repeat, within limits. */
import { problemIn, RedirectError, retryAfterSeconds, type Slug, slugOf } from "./problems.ts";

export type Fetch = (request: Request) => Promise<Response>;

export type RetryBounds = {
  /** The maximum number of times that a request is sent. */
  tries: number;
  /** No retry later than this many seconds after the first try. A response that asks for a longer wait is returned at once. */
  withinSeconds: number;
};

/** After these problems nothing was processed, so that even a POST can be sent again. */
const notProcessed: Slug[] = ["overloaded", "revocations-stale", "too-many-requests"];

/** GET and HEAD. A PUT or DELETE whose response was lost may have been processed, and would then fail the second time. */
export const isSafe = ({ method }: Request): boolean => method === "GET" || method === "HEAD";

/**
 * Retries after 429 and 503, after the seconds of `Retry-After`, and after a failed connection.
 * @param isRepeatable whether a request may be sent again if it may have been processed
 */
export function retrying(fetch: Fetch, bounds: RetryBounds, isRepeatable: (request: Request) => boolean): Fetch {
  return async (request) => {
    const endMs = Date.now() + bounds.withinSeconds * 1000;
    for (let tries = 1; ; tries += 1) {
      const outcome = await fetch(request.clone()).catch((error: unknown) => ({ error }));
      const seconds = await retryDelay(outcome, tries, isRepeatable(request));
      const isOver = seconds === undefined || tries >= bounds.tries || Date.now() + seconds * 1000 > endMs;
      if (isOver || request.signal.aborted) {
        if ("error" in outcome) throw outcome.error;
        return outcome;
      }
      await sleep(seconds, request.signal);
    }
  };
}

/** @returns the seconds before the next try; `undefined` if there is none */
async function retryDelay(
  outcome: Response | { error: unknown },
  tries: number,
  isRepeatable: boolean,
): Promise<number | undefined> {
  // Jitter: clients that were rejected together should not return together.
  const spread = 1 + Math.random() / 5;
  if ("error" in outcome) {
    const isLost = isRepeatable && !(outcome.error instanceof RedirectError);
    return isLost ? 0.1 * 2 ** tries * spread : undefined;
  }
  const seconds = [429, 503].includes(outcome.status) ? retryAfterSeconds(outcome) : undefined;
  if (seconds === undefined) return undefined;
  const problem = await problemIn(outcome);
  return isRepeatable || (problem && notProcessed.includes(slugOf(problem))) ? seconds * spread : undefined;
}

async function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000);
  });
  await unlessAborted(pause, signal).finally(() => clearTimeout(timer));
}

/** Waits for a promise until the signal is aborted. The work behind the promise continues. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
  });
  signal.addEventListener("abort", stop);
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", stop));
}
