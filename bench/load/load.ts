/** What a load generator is told and what it tells; it is a process of its own, so that its time is nobody else's. */
import type { RecordableHistogram } from "node:perf_hooks";

export type HttpRequest = {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  /** `{n}` becomes another number in each request. */
  body?: string;
};

export type Job = {
  url: string;
  connections: number;
  /** Requests that depend on nothing, one after the other. */
  requests?: HttpRequest[];
  /** Refresh tokens, one a session: each is used once, and then its successor. */
  refreshTokens?: string[];
};

/** What came of some seconds of load. */
export type Outcome = {
  answered: number;
  /** Not answered, or not with a 2xx. */
  failed: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
};

/** @param times of the answers that were right, in µs */
export const outcomeOf = (times: RecordableHistogram, failed: number, tookMs: number): Outcome => ({
  answered: times.count,
  failed,
  seconds: tookMs / 1000,
  p50Ms: times.percentile(50) / 1000,
  p99Ms: times.percentile(99) / 1000,
});

/** Answers each number of seconds that the parent sends with the outcome of so much load. */
export function serveRounds(prepare: (job: Job) => (seconds: number) => Promise<Outcome>): void {
  let run: ((seconds: number) => Promise<Outcome>) | undefined;
  process.on("message", (message: Job | number) => {
    if (typeof message !== "number") {
      run = prepare(message);
      process.send?.("ready");
    } else {
      // A failure ends the process, which the parent takes for one.
      void run?.(message).then((outcome) => process.send?.(outcome));
    }
  });
}
