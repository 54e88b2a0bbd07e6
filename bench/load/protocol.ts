/** The messages between the benchmark and a load generator, which is a process of its own to separate its CPU time. */
import type { RecordableHistogram } from "node:perf_hooks";

export type HttpRequest = {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  /** `{n}` is replaced by a different number in each request. */
  body?: string;
};

export type LoadSpec = {
  url: string;
  connections: number;
  /** Independent requests, sent in turn. */
  requests?: HttpRequest[];
  /** The refresh token of each session. Each is used once, then its successor. */
  refreshTokens?: string[];
  /** The number of API keys (apiKeys.ts). Each is used once. */
  apiKeys?: number;
};

export type LoadResult = {
  answered: number;
  /** Requests without a response, or with one that is not 2xx. */
  failed: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
};

/** @param times the response times of successful requests, in µs */
export const loadResult = (times: RecordableHistogram, failed: number, tookMs: number): LoadResult => ({
  answered: times.count,
  failed,
  seconds: tookMs / 1000,
  p50Ms: times.percentile(50) / 1000,
  p99Ms: times.percentile(99) / 1000,
});

/**
 * Serves the parent process: the first message is the load; each further one is a number of seconds, which is answered with the
 * result of that much load.
 */
export function serveLoad(prepare: (spec: LoadSpec) => (seconds: number) => Promise<LoadResult>): void {
  let run: ((seconds: number) => Promise<LoadResult>) | undefined;
  process.on("message", (message: LoadSpec | number) => {
    if (typeof message !== "number") {
      run = prepare(message);
      process.send?.("ready");
    } else {
      // An error ends the process, which the parent reports.
      void run?.(message).then((result) => process.send?.(result));
    }
  });
}
