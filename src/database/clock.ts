/**
 * The one clock that all instances share: the database's. An instance whose own clock is wrong, or is
 * set, neither takes an expired token for a live one nor forgets a revocation too early.
 */
import type { Database } from "./database.ts";

export type DatabaseClock = {
  now(): Date;
  close(): Promise<void>;
};

const askEveryMs = 1_000;
/** An answer that took longer says too little about when it was given. */
const promptMs = 250;
/** What cannot be explained by how long an answer took. */
const noticeableMs = 2_000;

/**
 * Learns the time each second until `close`, and carries it on by the monotonic clock in between,
 * and while the database is away.
 * @param wentBack is told when the database's clock was set back: what was judged by it may be wrong
 * @throws {Problem} `database-unavailable` at the start
 */
export async function followDatabaseClock(database: Database, wentBack: () => void): Promise<DatabaseClock> {
  let known: { time: number; at: number } | undefined;
  const nowMs = () => (known ? known.time + performance.now() - known.at : 0);

  const ask = async (): Promise<void> => {
    const began = performance.now();
    const { rows } = await database.read((knex) =>
      knex.raw<{ rows: [{ time: Date }] }>("SELECT clock_timestamp() AS time"),
    );
    const ended = performance.now();
    if (known && ended - began > promptMs) return;
    const before = nowMs();
    known = { time: rows[0].time.getTime(), at: (began + ended) / 2 };
    if (nowMs() < before - noticeableMs) wentBack();
  };
  await ask();

  let asking = Promise.resolve();
  let isAsking = false;
  const timer = setInterval(() => {
    if (isAsking) return;
    isAsking = true;
    // Who follows revocations by the same connection says that the database is away.
    asking = ask()
      .catch(() => {})
      .finally(() => {
        isAsking = false;
      });
  }, askEveryMs);

  return {
    now: () => new Date(nowMs()),
    async close() {
      clearInterval(timer);
      await asking;
    },
  };
}
