/** Requests at a steady rate while something breaks, and the bound that holds whatever it is. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { afterTest } from "./afterTest.ts";
import type { Client } from "./client.ts";

/** What became of a request. Times are those of `performance.now()`. */
export type Outcome = {
  /** Method and path. */
  request: string;
  /** Absent where no answer came, or one that the contract does not allow. */
  status?: number;
  problem?: string;
  retryAfter?: string;
  /** Why there is no status. */
  error?: string;
  beganMs: number;
  tookMs: number;
};

/** The same client, which notes what becomes of each request. */
export function recording(client: Client): { send: Client; outcomes: Outcome[] } {
  const outcomes: Outcome[] = [];
  const send: Client = async (method, target, sent) => {
    const outcome: Outcome = { request: `${method} ${target}`, beganMs: performance.now(), tookMs: 0 };
    try {
      const answer = await client(method, target, sent);
      const { status, problem } = answer;
      const retryAfter = answer.header("retry-after");
      Object.assign(outcome, { status, ...(problem && { problem }), ...(retryAfter && { retryAfter }) });
      return answer;
    } catch (error) {
      outcome.error = (error as Error).message;
      throw error;
    } finally {
      outcome.tookMs = performance.now() - outcome.beganMs;
      outcomes.push(outcome);
    }
  };
  return { send, outcomes };
}

/**
 * Begins one action after the other, at a rate, whether or not those before have ended: people do not
 * wait for each other.
 * @returns what stops it, once the last action has ended. At the latest it stops with the test.
 */
export function startLoad(perSecond: number, actions: (() => Promise<unknown>)[]): () => Promise<void> {
  const running = new Set<Promise<unknown>>();
  let begun = 0;
  const timer = setInterval(() => {
    const action = actions[begun++ % actions.length] as () => Promise<unknown>;
    // What failed is in the outcomes.
    const run = action()
      .catch(() => {})
      .finally(() => running.delete(run));
    running.add(run);
  }, 1_000 / perSecond);
  const stop = async () => {
    clearInterval(timer);
    await Promise.all(running);
  };
  afterTest(stop);
  return stop;
}

/** What a load balancer and a supervisor ask meanwhile. */
export const watch = (send: Client) => [() => send("GET", "/livez"), () => send("GET", "/readyz")];

const answerWithinMs = 3_000;
/** How soon everything is as before once the cause has gone. */
const backWithinMs = 2_000;

const succeeded = ({ status = 0 }: Outcome) => status >= 200 && status < 300;

/**
 * Every request got an answer in time: success, or a 503 that says when to try again. Once the cause
 * has gone, soon only success.
 */
export function expectWithinBounds(outcomes: Outcome[], causeGoneMs = Infinity): void {
  expect(outcomes.length).toBeGreaterThan(0);
  const outOfBounds = outcomes.filter((outcome) => {
    const mayFail = outcome.request !== "GET /livez" && outcome.beganMs < causeGoneMs + backWithinMs;
    const isRefused = outcome.status === 503 && Number(outcome.retryAfter) > 0;
    return !(succeeded(outcome) || (mayFail && isRefused)) || outcome.tookMs > answerWithinMs;
  });
  expect(outOfBounds).toEqual([]);
}

/**
 * For when the cause has gone: goes on for a while, and holds all that was seen to the bound.
 * @returns when that was
 */
export async function expectRecovery(outcomes: Outcome[], stopLoad: () => Promise<void>): Promise<number> {
  const causeGoneMs = performance.now();
  await sleep(2 * backWithinMs);
  await stopLoad();
  report(outcomes, causeGoneMs);
  expectWithinBounds(outcomes, causeGoneMs);
  return causeGoneMs;
}

/** Waits until it is ready again, which it must soon be. */
export async function expectBack(client: Client): Promise<void> {
  const deadline = performance.now() + backWithinMs;
  for (;;) {
    const { status } = await client("GET", "/readyz");
    if (status === 200) return;
    expect(performance.now()).toBeLessThan(deadline);
    await sleep(20);
  }
}

/** The outcomes of one kind of request that began in a span of time; that there were any is expected. */
export function during(outcomes: Outcome[], request: string, fromMs: number, toMs: number): Outcome[] {
  const found = outcomes.filter((outcome) => {
    return outcome.request === request && outcome.beganMs >= fromMs && outcome.beganMs <= toMs;
  });
  expect(found.length, `${request} in that time`).toBeGreaterThan(0);
  return found;
}

/** Says what was observed, for whoever reads the output of the tests. */
export function report(outcomes: Outcome[], causeGoneMs?: number): void {
  const counts = new Map<string, number>();
  for (const { request, status, problem, error } of outcomes) {
    const kind = `${request.replace(/[0-9a-f-]{36}/, "{id}")}: ${problem ?? status ?? error?.replace(/:\d+$/, "")}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  for (const [kind, count] of [...counts].sort()) console.info(`${kind} (${count})`);
  console.info(`the slowest answer: ${Math.max(...outcomes.map(({ tookMs }) => tookMs)).toFixed()} ms`);
  if (causeGoneMs === undefined) return;
  const refused = outcomes.filter((outcome) => !succeeded(outcome)).map(({ beganMs }) => beganMs - causeGoneMs);
  console.info(`the last refused request began ${Math.max(...refused).toFixed()} ms after the cause had gone`);
}
