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
/** A smaller step backwards is measurement noise. */
const noticeableStepMs = 2_000;

const readClock = statement({
  name: "read-clock",
  sql: "SELECT clock_timestamp() AS time",
  columns: { time: timestamptz },
});

/**
 * Reads the time each second until `close`. In between, and during an outage, the monotonic clock of this process continues from
 * the last reading.
 * @param onSetBack called when the database's clock was set back: earlier decisions may have been wrong
 * @throws {Problem} `database-unavailable` if the first reading fails
 */
export async function startDatabaseClock(database: Database, onSetBack: () => void): Promise<DatabaseClock> {
  let known: { timeMs: number; atMs: number } | undefined;
  const nowMs = () => (known ? known.timeMs + performance.now() - known.atMs : 0);

  const readTime = async (): Promise<void> => {
    const sentMs = performance.now();
    const { time } = await database.read((knex) => readClock.one(knex));
    const receivedMs = performance.now();
    if (known && receivedMs - sentMs > maxResponseMs) return;
    const before = nowMs();
    known = { timeMs: time.getTime(), atMs: (sentMs + receivedMs) / 2 };
    if (nowMs() < before - noticeableStepMs) onSetBack();
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
