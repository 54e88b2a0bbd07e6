/** The queue shares slots fairly between networks and accounts, and bounds waiting in time and number. */
import { describe, expect, test } from "vitest";
import { fairQueue, type Turn } from "../../src/lib/fairQueue.ts";

/** A queue whose tasks end when the test ends them, and the names of those that have started. */
function steppedQueue(atOnce: number, mostWaiting = 1_000) {
  const queue = fairQueue(atOnce, mostWaiting);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const refused: string[] = [];
  const settled: Promise<unknown>[] = [];
  const add = (name: string, turn: Partial<Turn> & { networks: string[] }): void => {
    const task = () => {
      begun.push(name);
      return new Promise<void>((resolve) => void ends.push(resolve));
    };
    const result = queue.run({ account: name, deadline: performance.now() + 60_000, ...turn }, task);
    settled.push(result.catch(() => refused.push(name)));
  };
  /** Ends all tasks. */
  const finish = async (): Promise<void> => {
    const all = Promise.all(settled);
    let isOver = false;
    void all.then(() => (isOver = true));
    while (!isOver) {
      ends.shift()?.();
      await new Promise(setImmediate);
    }
  };
  return { queue, add, finish, begun, refused };
}

describe("slots are shared in turns", () => {
  test("between networks, however many requests one has waiting", async () => {
    const { add, finish, begun } = steppedQueue(1);
    for (let n = 0; n < 5; n += 1) add(`a${n}`, { networks: ["a"], account: "same" });
    add("b0", { networks: ["b"] });
    add("c0", { networks: ["c"] });
    await finish();
    expect(begun).toEqual(["a0", "a1", "b0", "c0", "a2", "a3", "a4"]);
  });

  test("between accounts of a network, however many requests one has waiting", async () => {
    const { add, finish, begun } = steppedQueue(1);
    for (let n = 0; n < 4; n += 1) add(`x${n}`, { networks: ["a"], account: "x" });
    add("y0", { networks: ["a"], account: "y" });
    await finish();
    expect(begun).toEqual(["x0", "x1", "y0", "x2", "x3"]);
  });

  test("between the widest networks first: a /48 with many /64 has one share", async () => {
    const { add, finish, begun } = steppedQueue(1);
    for (let n = 0; n < 6; n += 1) add(`v6-${n}`, { networks: [`${n}/64`, `${n % 2}/56`, "one/48"] });
    add("other", { networks: ["other/64", "other/56", "other/48"] });
    await finish();
    expect(begun.slice(0, 3)).toEqual(["v6-0", "v6-1", "other"]);
  });

  test("requests that share a lane run one at a time, and use no slot while they wait", async () => {
    const { add, finish, begun } = steppedQueue(3);
    for (let n = 0; n < 50; n += 1) add(`same${n}`, { networks: [`${n}`], account: "same", lane: "same" });
    add("other", { networks: ["other"], lane: "other" });
    await new Promise(setImmediate);
    expect(begun).toEqual(["same0", "other"]);
    await finish();
    expect(begun.length).toBe(51);
  });
});

describe("when too many wait", () => {
  test.each<[string, (n: number) => Partial<Turn> & { networks: string[] }]>([
    ["network", () => ({ networks: ["a"] })],
    ["account, from many networks", (n) => ({ networks: [`a${n}`], account: "a" })],
    ["IPv6 network, from many of its /64", (n) => ({ networks: [`a${n}/64`, "a/48"] })],
  ])("the newest of the largest %s is refused, not a newcomer", async (_name, turn) => {
    const { queue, add, finish, begun, refused } = steppedQueue(1, 10);
    add("running", { networks: ["r"] });
    for (let n = 0; n < 12; n += 1) add(`a${n}`, turn(n));
    for (let n = 0; n < 3; n += 1) add(`b${n}`, { networks: [`b${n}`] });
    expect(queue.waiting()).toBe(10);
    await finish();
    expect(refused.toSorted()).toEqual(["a10", "a11", "a7", "a8", "a9"]);
    expect(begun).toEqual(expect.arrayContaining(["b0", "b1", "b2", "a0"]));
    expect(queue.waiting()).toBe(0);
  });
});

test("a request is rejected at its deadline, and leaves nothing behind", async () => {
  const timedOut: number[] = [];
  const queue = fairQueue(1, 10, (ms) => timedOut.push(ms));
  let end = () => {};
  const running = queue.run({ networks: ["a"], account: "a", deadline: performance.now() + 1_000 }, () => {
    return new Promise<void>((resolve) => {
      end = resolve;
    });
  });
  const late = queue.run({ networks: ["b"], account: "b", deadline: performance.now() + 20 }, async () => "ran");
  await expect(late).rejects.toMatchObject({ slug: "overloaded" });
  expect(timedOut.length).toBe(1);
  expect(queue.waiting()).toBe(0);
  end();
  await running;
  const past = queue.run({ networks: ["b"], account: "b", deadline: performance.now() - 1 }, async () => "ran");
  await expect(past).rejects.toMatchObject({ slug: "overloaded" });
});

test("a task that fails releases its slot and its lane", async () => {
  const queue = fairQueue(1, 10);
  const turn = () => ({ networks: ["a"], account: "a", lane: "a", deadline: performance.now() + 1_000 });
  await expect(queue.run(turn(), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await queue.run(turn(), async () => "next")).toBe("next");
});
