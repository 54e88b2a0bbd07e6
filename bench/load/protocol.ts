/** The messages between the benchmark and a load generator, which is a process of its own to separate its CPU time. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

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
  codeFlows?: CodeFlows;
};

/** Authorization code flows. The browsers take turns. */
export type CodeFlows = {
  /** The path of the authorization request of each browser, and its cookies. */
  browsers: { path: string; cookie: string }[];
  /** The token request of the client, to which the code is appended. */
  redemption: HttpRequest;
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

/**
 * Repeats a request, or several that depend on each other, over all connections.
 * @param act returns whether it succeeded
 */
export async function repeat(connections: number, seconds: number, act: () => Promise<boolean>): Promise<LoadResult> {
  const times = createHistogram();
  const began = performance.now();
  let failed = 0;
  const repeatUntilEnd = async () => {
    while (performance.now() - began < seconds * 1000) {
      const sent = performance.now();
      if (await act()) times.record(Math.max(1, Math.round((performance.now() - sent) * 1000)));
      else failed += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, repeatUntilEnd));
  return loadResult(times, failed, performance.now() - began);
}
