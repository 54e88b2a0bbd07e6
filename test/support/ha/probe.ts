/** Asks, independently of the service, when a write is possible through a proxy. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterwards } from "../afterwards.ts";

export type Attempt = { beganMs: number; endedMs: number; isOk: boolean };

const attemptMs = 1_000;
const pauseMs = 200;

/**
 * Writes over and over until the end of the test, over a connection of its own each time.
 * @returns the attempts so far. The time of the first write after an outage is known to half a second.
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
  // Two in turns: while one waits for a server that is cut off, the other finds the new one.
  const running = [run(0), run(attemptMs / 2)];
  afterwards(async () => {
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

/** An outage as the attempts show it, in `performance.now()`. `undefined` where all succeeded. */
export function outageOf(attempts: Attempt[]): { beganMs: number; writableMs: number; steadyMs: number } | undefined {
  const failed = attempts.filter(({ isOk }) => !isOk);
  const began = failed[0]?.beganMs;
  if (began === undefined) return undefined;
  const lastFailed = Math.max(...failed.map(({ beganMs }) => beganMs));
  const succeeded = attempts.filter(({ isOk }) => isOk).map(({ beganMs, endedMs }) => ({ beganMs, endedMs }));
  const writable = succeeded.filter(({ beganMs }) => beganMs >= began).map(({ endedMs }) => endedMs);
  const steady = succeeded.filter(({ beganMs }) => beganMs > lastFailed).map(({ endedMs }) => endedMs);
  return { beganMs: began, writableMs: Math.min(...writable), steadyMs: Math.min(...steady) };
}
