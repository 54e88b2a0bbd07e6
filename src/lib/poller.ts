/** Runs a task again and again: at an interval, when woken, and with growing delays after failures. */
import { AsyncResource } from "node:async_hooks";
import { backOff } from "./backOff.ts";

/** Time as the poller sees it. A test passes one that it moves itself. */
export type Timers = {
  /** Monotonic time in milliseconds. */
  nowMs(): number;
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
};

export type PollerOptions = {
  task: () => unknown;
  /** From the start of a run to the start of the next one. */
  intervalMs: number;
  /** Delays after failed runs, as `backOff` takes them. */
  retry: { firstMs: number; maxMs: number };
  /** Receives what the task throws. Must not throw. */
  onError: (error: unknown) => void;
  /** How long `close` waits for the run in progress. */
  closeTimeoutMs?: number;
  timers?: Timers;
};

export type Poller = {
  /** Runs the task now. During a run, exactly one more run follows it, however often this is called. */
  wake(): void;
  /**
   * Like `wake`, and waits for that run, which starts after this call.
   * @throws what the task throws, or an error when the poller is closed before the run
   */
  run(): Promise<void>;
  /** Starts no more runs, and waits for the one in progress, at most `closeTimeoutMs`. */
  close(): Promise<void>;
};

const systemTimers: Timers = {
  nowMs: () => performance.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

type Caller = { resolve: () => void; reject: (error: unknown) => void };

/** Starts polling. The first run is one interval from now. Runs never overlap. */
export function startPoller({
  task,
  intervalMs,
  retry,
  onError,
  closeTimeoutMs = 2_000,
  timers = systemTimers,
}: PollerOptions): Poller {
  const delays = backOff(retry);
  let running: Promise<void> | undefined;
  let isWoken = false;
  let isClosed = false;
  let callers: Caller[] = [];

  const run = async (): Promise<void> => {
    const startedMs = timers.nowMs();
    const served = callers;
    callers = [];
    isWoken = false;
    let delayMs: number;
    try {
      await task();
      delays.reset();
      delayMs = Math.max(0, startedMs + intervalMs - timers.nowMs());
      for (const { resolve } of served) resolve();
    } catch (error) {
      delayMs = delays.nextDelayMs();
      onError(error);
      for (const { reject } of served) reject(error);
    }
    running = undefined;
    if (isClosed) return;
    if (isWoken) start();
    else timer = timers.setTimeout(start, delayMs);
  };
  // In the context in which the poller was started, not in that of a request that wakes it.
  const start = AsyncResource.bind((): void => {
    running = run();
  });
  const wake = (): void => {
    if (isClosed) return;
    isWoken = true;
    if (running !== undefined) return;
    timers.clearTimeout(timer);
    start();
  };
  let timer = timers.setTimeout(start, intervalMs);

  return {
    wake,
    run: () =>
      new Promise<void>((resolve, reject) => {
        if (isClosed) return reject(closedError());
        callers.push({ resolve, reject });
        wake();
      }),
    async close() {
      isClosed = true;
      timers.clearTimeout(timer);
      for (const { reject } of callers.splice(0)) reject(closedError());
      if (running === undefined) return;
      let timeout: unknown;
      const timedOut = new Promise<void>((resolve) => {
        timeout = timers.setTimeout(resolve, closeTimeoutMs);
      });
      await Promise.race([running, timedOut]);
      timers.clearTimeout(timeout);
    },
  };
}

const closedError = () => new Error("The poller was closed.");
