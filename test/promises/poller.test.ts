/** The poller runs its task at the right times, never twice at once, and stops when closed. */
import { AsyncLocalStorage } from "node:async_hooks";
import { expect, test } from "vitest";
import { startPoller } from "../../src/lib/poller.ts";
import { manualTimers } from "../support/manualTimers.ts";

/** A poller whose runs last until the test ends them. */
function pollByHand({ closeTimeoutMs = 2_000 } = {}) {
  const timers = manualTimers();
  const errors: unknown[] = [];
  const running: { succeed(): Promise<void>; fail(error: Error): Promise<void> }[] = [];
  let started = 0;
  let mostAtOnce = 0;
  const task = () =>
    new Promise<void>((resolve, reject) => {
      started += 1;
      const end = async (settle: () => void) => {
        running.shift();
        settle();
        await timers.advance(0);
      };
      running.push({ succeed: () => end(resolve), fail: (error) => end(() => reject(error)) });
      mostAtOnce = Math.max(mostAtOnce, running.length);
    });
  const poller = startPoller({
    task,
    intervalMs: 1_000,
    retry: { firstMs: 100, maxMs: 400 },
    onError: (error) => errors.push(error),
    closeTimeoutMs,
    timers,
  });
  return {
    poller,
    timers,
    errors,
    started: () => started,
    mostAtOnce: () => mostAtOnce,
    succeed: async () => running[0]?.succeed(),
    fail: async (message = "failed") => running[0]?.fail(new Error(message)),
  };
}

test("a run starts at each interval, counted from the start of the run before", async () => {
  const { timers, started, succeed } = pollByHand();
  await timers.advance(999);
  expect(started()).toBe(0);
  await timers.advance(1);
  expect(started()).toBe(1);
  await timers.advance(400); // the run takes 400 ms
  await succeed();
  await timers.advance(599);
  expect(started()).toBe(1);
  await timers.advance(1);
  expect(started()).toBe(2);
});

test("runs never overlap: a run that takes longer than the interval is followed at once by the next one", async () => {
  const { timers, started, mostAtOnce, succeed } = pollByHand();
  await timers.advance(1_000);
  await timers.advance(5_000);
  expect(started()).toBe(1);
  await succeed();
  await timers.advance(0);
  expect(started()).toBe(2);
  expect(mostAtOnce()).toBe(1);
});

test("waking starts a run at once, and the interval counts from that run", async () => {
  const { poller, timers, started, succeed } = pollByHand();
  await timers.advance(700);
  poller.wake();
  expect(started()).toBe(1);
  await succeed();
  await timers.advance(999);
  expect(started()).toBe(1);
  await timers.advance(1);
  expect(started()).toBe(2);
});

test("waking during a run leads to exactly one more run, however often", async () => {
  const { poller, timers, started, mostAtOnce, succeed } = pollByHand();
  poller.wake();
  for (let count = 0; count < 10; count += 1) poller.wake();
  expect(started()).toBe(1);
  await succeed();
  expect(started()).toBe(2);
  await succeed();
  await timers.advance(999);
  expect(started()).toBe(2);
  expect(mostAtOnce()).toBe(1);
});

test("after failures the delay grows up to the maximum, and a success resets it", async () => {
  const { timers, started, errors, fail, succeed } = pollByHand();
  await timers.advance(1_000);
  // Each delay is between a half and the whole of: 100, 200, 400, 400 ms.
  let count = 1;
  for (const maxMs of [100, 200, 400, 400]) {
    await fail(`failure ${count}`);
    await timers.advance(maxMs / 2 - 1);
    expect(started()).toBe(count);
    await timers.advance(maxMs / 2 + 1);
    count += 1;
    expect(started()).toBe(count);
  }
  expect(errors.map((error) => (error as Error).message)).toEqual([1, 2, 3, 4].map((number) => `failure ${number}`));
  // The last run began up to 200 ms ago: the interval is counted from there.
  await succeed();
  await timers.advance(799);
  expect(started()).toBe(count);
  await timers.advance(201);
  expect(started()).toBe(count + 1);
  await fail();
  await timers.advance(100);
  expect(started()).toBe(count + 2);
});

test("waking does not wait for the delay after a failure", async () => {
  const { poller, timers, started, fail } = pollByHand();
  await timers.advance(1_000);
  await fail();
  poller.wake();
  expect(started()).toBe(2);
});

test("a task that throws at once is a failed run", async () => {
  const timers = manualTimers();
  const errors: unknown[] = [];
  const task = () => {
    throw new Error("at once");
  };
  const poller = startPoller({
    task,
    intervalMs: 1_000,
    retry: { firstMs: 100, maxMs: 100 },
    onError: (error) => errors.push(error),
    timers,
  });
  await timers.advance(1_100);
  expect(errors).toHaveLength(2);
  await poller.close();
});

test("whoever asks for a run gets the result of one that started later", async () => {
  const { poller, started, succeed, fail } = pollByHand();
  const first = poller.run();
  const second = poller.run();
  await succeed();
  await first;
  expect(started()).toBe(2);
  const failed = expect(second).rejects.toThrow("second");
  await fail("second");
  await failed;
});

test("closing while waiting stops the timer, and nothing runs again", async () => {
  const { poller, timers, started } = pollByHand();
  await poller.close();
  poller.wake();
  await expect(poller.run()).rejects.toThrow("closed");
  await timers.advance(10_000);
  expect(started()).toBe(0);
  expect(timers.pending()).toBe(0);
});

test("closing during a run waits for it, and refuses the runs that were to follow", async () => {
  const { poller, timers, started, succeed } = pollByHand();
  poller.wake();
  const refused = expect(poller.run()).rejects.toThrow("closed");
  let isClosed = false;
  const closed = poller.close().then(() => {
    isClosed = true;
  });
  await timers.advance(1_999);
  expect(isClosed).toBe(false);
  await succeed();
  await closed;
  await refused;
  await timers.advance(10_000);
  expect(started()).toBe(1);
  expect(timers.pending()).toBe(0);
});

test("closing waits for a run that hangs, but not for longer than its time limit", async () => {
  const { poller, timers } = pollByHand({ closeTimeoutMs: 500 });
  poller.wake();
  const closed = poller.close();
  await timers.advance(500);
  await closed;
});

test("a run that a request has woken does not run in the context of that request", async () => {
  const request = new AsyncLocalStorage<string>();
  const contexts: (string | undefined)[] = [];
  const poller = startPoller({
    task: () => contexts.push(request.getStore()),
    intervalMs: 1_000,
    retry: { firstMs: 100, maxMs: 100 },
    onError: () => {},
    timers: manualTimers(),
  });
  await request.run("a request", () => poller.run());
  expect(contexts).toEqual([undefined]);
});
