/** Timers that move only when a test moves them. */
import type { Timers } from "../../src/lib/poller.ts";

export type ManualTimers = Timers & {
  /** Moves the time, runs the timers that are due in their order, and lets the promises that follow settle. */
  advance(ms: number): Promise<void>;
  /** How many timers are waiting. */
  pending(): number;
};

/** Lets promises settle that wait for nothing but each other. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

export function manualTimers(): ManualTimers {
  let nowMs = 0;
  let waiting: { atMs: number; callback: () => void }[] = [];
  return {
    nowMs: () => nowMs,
    setTimeout(callback, delayMs) {
      const timer = { atMs: nowMs + delayMs, callback };
      waiting.push(timer);
      return timer;
    },
    clearTimeout(timer) {
      waiting = waiting.filter((one) => one !== timer);
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const [due] = waiting.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
        if (!due) break;
        nowMs = Math.max(nowMs, due.atMs);
        waiting = waiting.filter((one) => one !== due);
        due.callback();
        await settle();
      }
      nowMs = endMs;
      await settle();
    },
    pending: () => waiting.length,
  };
}
