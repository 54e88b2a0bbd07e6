/** Measures, independently of the service, when writes through a proxy succeed. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterTest } from "../afterTest.ts";

export type Attempt = { beganMs: number; endedMs: number; isOk: boolean };

const attemptMs = 1_000;
const pauseMs = 200;

/**
 * Writes repeatedly until the end of the test, each time over a new connection.
 * @returns the attempts so far. The end of an outage is known to half a second.
 */
export function startProbe(url: string): Attempt[] {
  const attempts: Attempt[] = [];
  let isOver = false;
  const run = async (delayMs: number): Promise<void> => {
    await sleep(delayMs);
    while (!isOver) {
      const beganMs = performance.now();
      const isOk = await write(url);
      attempts.push({ beganMs, endedMs: performance.now(), isOk });
      await sleep(pauseMs);
    }
  };
  // Two loops: while one waits for a server that is cut off, the other finds the new one.
  const running = [run(0), run(attemptMs / 2)];
  afterTest(async () => {
    isOver = true;
    await Promise.all(running);
  });
  return attempts;
}

async function write(url: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: attemptMs,
    query_timeout: attemptMs,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query("INSERT INTO probe DEFAULT VALUES");
    return true;
  } catch {
    return false;
  } finally {
    client.end().catch(() => {});
  }
}

/** Returns the longest time between two successful writes, in `performance.now()`. */
export function outageOf(attempts: Attempt[]): { beganMs: number; writableMs: number } {
  const succeeded = attempts.filter(({ isOk }) => isOk).map(({ endedMs }) => endedMs);
  const times = succeeded.sort((a, b) => a - b);
  const gaps = times.slice(1).map((writableMs, index) => ({ beganMs: times[index] ?? writableMs, writableMs }));
  const [longest] = gaps.sort((a, b) => b.writableMs - b.beganMs - (a.writableMs - a.beganMs));
  if (!longest) throw new Error("No write succeeded.");
  return longest;
}
