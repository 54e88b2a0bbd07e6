/** Requests of the feed that are held until there are new entries. */

export type Holds = {
  /** Begins a wait that ends at `release`, or after `ms` milliseconds. */
  hold(ms: number): Hold;
  /**
   * Ends the waits at once, or a little later if many requests were released shortly before. A later call joins a release that is
   * due, so frequent revocations cause each client at most two requests a second.
   */
  release(): void;
  /** The number of calls of `release`. */
  releases(): number;
  /** Whether a release is due later. */
  isReleaseDue(): boolean;
  /** Ends all waits, and limits later ones to a second. */
  stop(): void;
  /** The number of requests that are held. */
  size(): number;
};

export type Hold = {
  /** Whether it was released. */
  isReleased: Promise<boolean>;
  /** Ends the wait, because the client has disconnected. */
  end(): void;
};

/** Pause between two releases for each released request. */
const pausePerRequestMs = 0.5;
const maxPauseMs = 500;
/** Requests that are released in one turn of the event loop, so that others are served in between. */
const releasedPerTurn = 20;
/**
 * The longest wait during a shutdown. Without a wait, clients that have no other instance would send requests in a tight loop.
 */
const stoppingHoldMs = 1_000;

export function createHolds(): Holds {
  const held = new Set<(isReleased: boolean) => void>();
  let nextReleaseMs = 0;
  let due: NodeJS.Timeout | undefined;
  let isStopping = false;
  let releases = 0;

  const releaseAll = (): void => {
    due = undefined;
    const released = [...held];
    nextReleaseMs = performance.now() + Math.min(released.length * pausePerRequestMs, maxPauseMs);
    releaseInTurns(released);
  };
  const releaseInTurns = (released: ((isReleased: boolean) => void)[]): void => {
    for (const end of released.splice(0, releasedPerTurn)) end(true);
    if (released.length > 0) setImmediate(releaseInTurns, released);
  };

  return {
    hold(ms) {
      let end = (_isReleased: boolean): void => {};
      const isReleased = new Promise<boolean>((resolve) => {
        end = (isReleased) => {
          clearTimeout(timer);
          held.delete(end);
          resolve(isReleased);
        };
        const timer = setTimeout(end, isStopping ? Math.min(ms, stoppingHoldMs) : ms, false);
        held.add(end);
      });
      return { isReleased, end: () => end(false) };
    },
    release() {
      releases += 1;
      if (due !== undefined) return;
      const pauseMs = nextReleaseMs - performance.now();
      if (pauseMs <= 0) releaseAll();
      else due = setTimeout(releaseAll, pauseMs);
    },
    releases: () => releases,
    isReleaseDue: () => due !== undefined,
    stop() {
      isStopping = true;
      clearTimeout(due);
      due = undefined;
      for (const end of [...held]) end(false);
    },
    size: () => held.size,
  };
}
