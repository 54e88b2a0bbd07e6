/** Runs a task repeatedly: at an interval, when woken, and with growing delays after failures. */
import { AsyncResource } from "node:async_hooks";
import { backOff } from "./backOff.ts";

/** The clock and timers of a poller. Tests pass their own. */
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
  /** The delays after failed runs (backOff.ts). */
  retry: { firstMs: number; maxMs: number };
  /** Receives the errors of the task. Must not throw. */
  onError: (error: unknown) => void;
  /** How long `close` waits for the run in progress. */
  closeTimeoutMs?: number;
  timers?: Timers;
};

export type Poller = {
  /** Runs the task now. During a run, any number of calls causes exactly one more run. */
  wake(): void;
  /**
   * Like `wake`, and waits for that run, which starts after this call.
   * @throws the error of the task, or an error if the poller is closed before the run
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

/** A call of `run` that waits for its run. */
type RunRequest = { resolve: () => void; reject: (error: unknown) => void };

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
  let requests: RunRequest[] = [];

  const run = async (): Promise<void> => {
    const startedMs = timers.nowMs();
    const served = requests;
    requests = [];
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
  // Binds the asynchronous context of the start. Otherwise a run would have that of the request that wakes it.
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
        requests.push({ resolve, reject });
        wake();
      }),
    async close() {
      isClosed = true;
      timers.clearTimeout(timer);
      for (const { reject } of requests.splice(0)) reject(closedError());
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
