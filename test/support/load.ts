/** Sends requests at a constant rate during a fault, and checks the bounds that hold for every fault. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { afterTest } from "./afterTest.ts";
import type { Client } from "./client.ts";

/** The outcome of a request. Times are those of `performance.now()`. */
export type Outcome = {
  /** Method and path. */
  request: string;
  /** Absent if there was no response, or one that the contract does not declare. */
  status?: number;
  problem?: string;
  retryAfter?: string;
  /** The reason for an absent status. */
  error?: string;
  beganMs: number;
  tookMs: number;
};

/** Wraps a client and records the outcome of each request. */
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
 * Begins actions in turn at a constant rate, without waiting for earlier ones, as independent clients do.
 * @returns a function that stops the load and resolves when the last action has ended. The end of the test stops it too.
 */
export function startLoad(perSecond: number, actions: (() => Promise<unknown>)[]): () => Promise<void> {
  const running = new Set<Promise<unknown>>();
  let begun = 0;
  const timer = setInterval(() => {
    const action = actions[begun++ % actions.length] as () => Promise<unknown>;
    // The outcomes contain the errors.
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

/** The requests of a load balancer and a supervisor. */
export const watch = (send: Client) => [() => send("GET", "/livez"), () => send("GET", "/readyz")];

const responseWithinMs = 3_000;
/** The service must recover within this time after the fault ends. */
const recoveryMs = 2_000;

const succeeded = ({ status = 0 }: Outcome) => status >= 200 && status < 300;

/**
 * Expects a response to every request in time: success, or a 503 with Retry-After. After the recovery time, only success.
 */
export function expectWithinBounds(outcomes: Outcome[], faultEndedMs = Infinity): void {
  expect(outcomes.length).toBeGreaterThan(0);
  const outOfBounds = outcomes.filter((outcome) => {
    const mayFail = outcome.request !== "GET /livez" && outcome.beganMs < faultEndedMs + recoveryMs;
    const isRefused = outcome.status === 503 && Number(outcome.retryAfter) > 0;
    return !(succeeded(outcome) || (mayFail && isRefused)) || outcome.tookMs > responseWithinMs;
  });
  expectNone(outOfBounds);
}

/** Expects no outcomes. The failure names all of them by kind: Vitest prints a long array only in part. */
export function expectNone(outcomes: Outcome[]): void {
  expect(outcomes.length, summaryOf(outcomes).join("\n")).toBe(0);
}

/**
 * Is called when the fault ends. Continues the load for a while, and checks the bounds.
 * @returns the time at which it was called
 */
export async function expectRecovery(outcomes: Outcome[], stopLoad: () => Promise<void>): Promise<number> {
  const faultEndedMs = performance.now();
  await sleep(2 * recoveryMs);
  await stopLoad();
  report(outcomes, faultEndedMs);
  expectWithinBounds(outcomes, faultEndedMs);
  return faultEndedMs;
}

/** Waits until the service is ready. Each request that is sent after the recovery time must find it ready. */
export async function expectBack(client: Client): Promise<void> {
  const deadline = performance.now() + recoveryMs;
  for (;;) {
    const sentMs = performance.now();
    const { status } = await client("GET", "/readyz");
    if (status === 200) return;
    expect(sentMs).toBeLessThan(deadline);
    await sleep(20);
  }
}

/** Returns the outcomes of one kind of request that began in a period. Expects at least one. */
export function during(outcomes: Outcome[], request: string, fromMs: number, toMs: number): Outcome[] {
  const found = outcomes.filter((outcome) => {
    return outcome.request === request && outcome.beganMs >= fromMs && outcome.beganMs <= toMs;
  });
  expect(found.length, `${request} in that time`).toBeGreaterThan(0);
  return found;
}

/** Each kind of outcome, with its number and its slowest response. */
function summaryOf(outcomes: Outcome[]): string[] {
  const kinds = new Map<string, number[]>();
  for (const { request, status, problem, error, tookMs } of outcomes) {
    const result = problem ?? status ?? error?.replace(/:\d+$/, "");
    const kind = `${request.replace(/[0-9a-f-]{36}/, "{id}")}: ${result}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), tookMs]);
  }
  return [...kinds]
    .sort()
    .map(([kind, tookMs]) => `${kind} (${tookMs.length}, up to ${Math.max(...tookMs).toFixed()} ms)`);
}

/** Prints the outcomes. */
export function report(outcomes: Outcome[], faultEndedMs?: number): void {
  for (const line of summaryOf(outcomes)) console.info(line);
  console.info(`slowest response: ${Math.max(...outcomes.map(({ tookMs }) => tookMs)).toFixed()} ms`);
  if (faultEndedMs === undefined) return;
  const refused = outcomes.filter((outcome) => !succeeded(outcome)).map(({ beganMs }) => beganMs - faultEndedMs);
  console.info(`the last rejected request began ${Math.max(...refused).toFixed()} ms after the end of the fault`);
}
