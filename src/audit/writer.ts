/** Stores audit events in batches, within a second. Events of changes are stored by the statements that make the changes. */
import { startPoller } from "../lib/poller.ts";
import { type AuditDetails, type AuditEvent, onlyLogged, refusals, storedWithChange } from "./audit.ts";
import { type AuditRow, auditRow } from "./auditRow.ts";
import type { AuditStore } from "./storeTypes.ts";

export type AuditWriter = {
  /** Stores an event soon, unless it is stored with its change or only logged. */
  store(event: AuditEvent, details: AuditDetails): void;
  /** The number of events that were not stored: there were too many, or the database was unavailable for too long. */
  dropped(): number;
  /** Stores the events that are waiting. */
  close(): Promise<void>;
};

type Parts = {
  store: Pick<AuditStore, "insertAll">;
  /** The time of the database. */
  clock: () => Date;
  onError: (error: unknown) => void;
};

const intervalMs = 500;
const batchSize = 500;
/** About 5 MB. */
const maxWaiting = 10_000;

/** Refusals that are stored: a burst, and then a number each second. All of them are in the log. */
const refusalBurst = 1_000;
const refusalsPerSecond = 20;

export function startAuditWriter({ store, clock, onError }: Parts): AuditWriter {
  let waiting: AuditRow[] = [];
  let dropped = 0;
  const isWithinLimit = tokenBucket(refusalBurst, refusalsPerSecond);

  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, batchSize);
      await store.insertAll(batch);
      waiting = waiting.slice(batch.length);
    }
  };
  const poller = startPoller({ task: flush, intervalMs, retry: { firstMs: intervalMs, maxMs: 5_000 }, onError });

  return {
    store(event, details) {
      if (storedWithChange.has(event) || onlyLogged.has(event)) return;
      const isTooMuch = waiting.length >= maxWaiting || (refusals.has(event) && !isWithinLimit());
      if (isTooMuch) dropped += 1;
      else waiting.push(auditRow(event, details, clock()));
      if (waiting.length === batchSize) poller.wake();
    },
    dropped: () => dropped,
    async close() {
      await poller.close();
      await flush().catch(onError);
    },
  };
}

/** @returns a function that says whether another event is within the limit, and counts it */
function tokenBucket(burst: number, perSecond: number): () => boolean {
  let left = burst;
  let countedMs = performance.now();
  return () => {
    const nowMs = performance.now();
    left = Math.min(burst, left + ((nowMs - countedMs) / 1000) * perSecond);
    countedMs = nowMs;
    if (left < 1) return false;
    left -= 1;
    return true;
  };
}
