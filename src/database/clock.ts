/**
 * The clock of the database, which all instances share. So an instance with a wrong clock neither accepts an expired token nor
 * forgets a revocation too early.
 */
import { startPoller } from "../lib/poller.ts";
import type { Database } from "./database.ts";
import { statement } from "./sql.ts";
import { timestamptz } from "./sqlTypes.ts";

export type DatabaseClock = {
  now(): Date;
  close(): Promise<void>;
};

const intervalMs = 1_000;
/** If a response takes longer, the time in it is too inaccurate. */
const maxResponseMs = 250;
/** A smaller step is measurement noise. */
const noticeableStepMs = 2_000;

const readClock = statement({
  name: "read-clock",
  sql: "SELECT clock_timestamp() AS time",
  columns: { time: timestamptz },
});

/**
 * Reads the time each second until `close`. In between, and during an outage, the monotonic clock of this process continues from
 * the last reading.
 * @param onStep called with the milliseconds by which the clock was set forward, or back if negative: earlier decisions may have
 * been wrong. While the machine is suspended, its monotonic clock may stop, so that the database's seems to be set forward
 * @throws {Problem} `database-unavailable` if the first reading fails
 */
export async function startDatabaseClock(database: Database, onStep: (stepMs: number) => void): Promise<DatabaseClock> {
  let known: { timeMs: number; atMs: number } | undefined;
  const nowMs = () => (known ? known.timeMs + performance.now() - known.atMs : 0);

  const readTime = async (): Promise<void> => {
    const sentMs = performance.now();
    const { time } = await database.read((knex) => readClock.one(knex));
    const receivedMs = performance.now();
    if (known && receivedMs - sentMs > maxResponseMs) return;
    const expectedMs = known && nowMs();
    known = { timeMs: time.getTime(), atMs: (sentMs + receivedMs) / 2 };
    const stepMs = expectedMs === undefined ? 0 : nowMs() - expectedMs;
    if (Math.abs(stepMs) > noticeableStepMs) onStep(stepMs);
  };
  await readTime();
  const poller = startPoller({
    task: readTime,
    intervalMs,
    retry: { firstMs: 250, maxMs: intervalMs },
    onError: () => {}, // the revocation list is read over the same connection, and reports the same errors
  });
  return { now: () => new Date(nowMs()), close: poller.close };
}
