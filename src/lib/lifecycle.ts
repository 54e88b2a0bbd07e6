/** Closes the parts of a service in stages, each within a time limit. */
import { setTimeout as sleep } from "node:timers/promises";

/** In this order. The parts of one stage are closed together. */
const stages = ["servers", "followers", "connections", "postgres"] as const;
type Stage = (typeof stages)[number];

/** How long each part of a stage may take. The limits of the parts themselves are shorter where they can be. */
const timeoutsMs: Record<Stage, number> = {
  servers: 11_000, // requests in flight have 10 s (server.ts)
  followers: 2_200, // a query that hangs is abandoned; spans have 2 s (tracing.ts)
  connections: 1_500, // Postgres need not answer any more
  postgres: 20_500, // the embedded one is killed after 16 s (embedded.ts)
};

export type Closers = {
  /** Adds a part; one that is added after `close` is closed at once. @param name for the log */
  add(stage: Stage, name: string, close: () => unknown): void;
  /**
   * Closes every part, also where others fail or do not return in time. Called again, it returns the same promise.
   * @throws {CloseError} once everything else is closed
   */
  close(): Promise<void>;
  /** The names of the parts that are being closed, or have to be. */
  pending(): string[];
};

/** Parts of the service failed to close, or not in time. */
export class CloseError extends AggregateError {}

export function createClosers(): Closers {
  type Part = { stage: Stage; name: string; close: () => unknown };
  const parts = new Set<Part>();
  const errors: Error[] = [];
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
    for (const stage of stages) await Promise.all([...parts].filter((part) => part.stage === stage).map(closePart));
    if (errors.length > 0) throw new CloseError(errors, errors.map(({ message }) => message).join("; "));
  };

  return {
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
