/** The messages between a primary and its workers, over the channel of node:cluster. */
import type { MetricsSnapshot } from "../observability/metrics.ts";

/** The primary forwards signals as messages. Workers ignore signals, because one to the process group would reach them twice. */
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
