/** Closes the parts that a process has opened. */
import { setTimeout as sleep } from "node:timers/promises";

/**
 * In the order of opening. Stages are closed in reverse order, and the parts of a stage at the same time. So a part must not use
 * another part of its stage. The order in which parts were added is not used, because the time for a shutdown must not grow with
 * the number of parts.
 */
const stages = ["postgres", "connections", "background", "servers"] as const;
export type Stage = (typeof stages)[number];

/** How long a part may take to close. Most parts have a shorter timeout of their own. */
const timeoutsMs: Record<Stage, number> = {
  servers: 11_000, // requests in flight have 10 s (http/server.ts)
  background: 2_200, // pollers abandon a query after 2 s (lib/poller.ts), tracing its spans (observability/tracing.ts)
  connections: 1_500, // does not wait for a response from Postgres
  postgres: 20_500, // the embedded Postgres is killed after 16 s (database/embedded/postgres.ts)
};

export type Lifecycle = {
  /** Adds a part to close. If `close` was already called, closes it at once. @param name for the log */
  add(stage: Stage, name: string, close: () => unknown): void;
  /** Aborted when `close` is called. Cancels a start in progress. */
  closing: AbortSignal;
  /**
   * Closes every part, even if some fail or time out. Another call returns the same promise.
   * @throws {CloseError} after all other parts were closed
   */
  close(): Promise<void>;
  /** The names of the parts that are not closed. */
  pending(): string[];
};

/** Parts that failed to close or timed out. */
export class CloseError extends AggregateError {}

export function createLifecycle(): Lifecycle {
  type Part = { stage: Stage; name: string; close: () => unknown };
  const parts = new Set<Part>();
  const errors: Error[] = [];
  const closing = new AbortController();
  let closed: Promise<void> | undefined;

  const closePart = async (part: Part): Promise<void> => {
    const timer = new AbortController();
    const timedOut = sleep(timeoutsMs[part.stage], undefined, timer).then(() => {
      throw new Error(`not closed within ${timeoutsMs[part.stage] / 1000} s`);
    });
    try {
      await Promise.race([(async () => part.close())(), timedOut]);
    } catch (cause) {
      errors.push(new Error(`${part.name}: ${cause instanceof Error ? cause.message : "failed"}`, { cause }));
    } finally {
      timer.abort();
      timedOut.catch(() => {});
      parts.delete(part);
    }
  };
  const closeAll = async (): Promise<void> => {
    closing.abort(new Error("The start was cancelled."));
    for (const stage of stages.toReversed())
      await Promise.all([...parts].filter((part) => part.stage === stage).map(closePart));
    if (errors.length > 0) throw new CloseError(errors, errors.map(({ message }) => message).join("; "));
  };

  return {
    closing: closing.signal,
    add(stage, name, close) {
      const part = { stage, name, close };
      parts.add(part);
      if (closed !== undefined) void closePart(part);
    },
    close() {
      closed ??= closeAll();
      return closed;
    },
    pending: () => [...parts].map(({ name }) => name),
  };
}
