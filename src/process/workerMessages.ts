/** What a primary and its workers tell each other, over the channel of node:cluster. */
import type { MetricsSnapshot } from "../observability/metrics.ts";

/** Signals are passed on as messages: a signal to the whole process group is for the primary, or each worker would get it twice. */
export type PrimaryMessage = NodeJS.Signals | "metrics";

export type WorkerMessage =
  /** The worker serves, at this URL. */
  | { url: string }
  | { metrics: MetricsSnapshot }
  /** Why the worker ends. */
  | { failure: string }
  | { heartbeat: true };

/** @param sent is called when the message was sent, or could not be: the primary may have exited */
export function sendToPrimary(message: WorkerMessage, sent: () => void = () => {}): void {
  process.send?.(message, undefined, undefined, sent);
}

/** Tells the primary why this worker ends. The primary logs it. */
export const reportFailure = (failure: string): void => sendToPrimary({ failure });
