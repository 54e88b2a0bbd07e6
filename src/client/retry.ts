/** Tries again what can be tried again without harm, for a short while. */
import { problemIn, RedirectError, retryAfterSeconds, type Slug, slugOf } from "./problems.ts";

export type Fetch = (request: Request) => Promise<Response>;

export type RetryBounds = {
  /** How often a request is sent at the most. */
  tries: number;
  /** No waiting beyond this many seconds after the first try. An answer that asks for more is given at once. */
  withinSeconds: number;
};

/** After these nothing was done, so that even a POST can be sent again. */
const nothingDone: Slug[] = ["overloaded", "revocations-stale", "too-many-requests"];

/** GET and HEAD. A PUT or DELETE whose answer was lost may be done: sent again, it would be told of a failure. */
export const isSafe = ({ method }: Request): boolean => method === "GET" || method === "HEAD";

/**
 * Sends again upon 429 and 503 after the seconds of `Retry-After`, and after a failed connection.
 * @param isRepeatable whether a request may be sent again when it is not known what came of it
 */
export function retrying(fetch: Fetch, bounds: RetryBounds, isRepeatable: (request: Request) => boolean): Fetch {
  return async (request) => {
    const endMs = Date.now() + bounds.withinSeconds * 1000;
    for (let tries = 1; ; tries += 1) {
      const outcome = await fetch(request.clone()).catch((error: unknown) => ({ error }));
      const seconds = await pauseAfter(outcome, tries, isRepeatable(request));
      const isOver = seconds === undefined || tries >= bounds.tries || Date.now() + seconds * 1000 > endMs;
      if (isOver || request.signal.aborted) {
        if ("error" in outcome) throw outcome.error;
        return outcome;
      }
      await sleep(seconds, request.signal);
    }
  };
}

/** @returns `undefined` where the outcome has to be taken as it is */
async function pauseAfter(
  outcome: Response | { error: unknown },
  tries: number,
  isRepeatable: boolean,
): Promise<number | undefined> {
  // Those who were turned away together should not come back together.
  const spread = 1 + Math.random() / 5;
  if ("error" in outcome) {
    const isLost = isRepeatable && !(outcome.error instanceof RedirectError);
    return isLost ? 0.1 * 2 ** tries * spread : undefined;
  }
  const seconds = [429, 503].includes(outcome.status) ? retryAfterSeconds(outcome) : undefined;
  if (seconds === undefined) return undefined;
  const problem = await problemIn(outcome);
  return isRepeatable || (problem && nothingDone.includes(slugOf(problem))) ? seconds * spread : undefined;
}

async function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000);
  });
  await unlessAborted(pause, signal).finally(() => clearTimeout(timer));
}

/** Waits for something that goes on by itself, until the signal says that nobody waits any more. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
  });
  signal.addEventListener("abort", stop);
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", stop));
}
