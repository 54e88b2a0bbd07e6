/**
 * Shares a few slots fairly: first between the widest networks, then between the narrower networks of each, then between the
 * accounts of each. So a client does not get a larger share with more requests, more accounts or more addresses of one IPv6
 * network. A waiting task occupies no slot. If too many tasks wait, the newest task of the largest group is rejected.
 */
import { Problem } from "../problems/problems.ts";

/** The client that a task runs for, and when it must start. */
export type Turn = {
  /** From the narrowest to the widest, as `networksOf` returns them. */
  networks: readonly string[];
  /** Empty if only networks count. */
  account: string;
  /** At most one task of a lane runs at a time. */
  lane?: string;
  /** The latest start, on the clock of `performance.now()`. */
  deadline: number;
};

export type FairQueue = {
  /**
   * Runs a task when its turn comes.
   * @throws {Problem} `overloaded` at the deadline, or at once if too many tasks wait
   */
  run<T>(turn: Turn, task: () => Promise<T>): Promise<T>;
  /** Starts waiting tasks after the number of slots has grown. */
  admit(): void;
  waiting(): number;
};

type Waiter = Turn & { groups: [name: string, group: Group][]; admit(): void; reject(): void };
/** A network with its narrower networks or its accounts, or an account. Only groups of accounts have waiters. */
type Group = { members: Map<string, Group>; waiters: Waiter[]; size: number };

const newGroup = (): Group => ({ members: new Map(), waiters: [], size: 0 });

/**
 * @param concurrency the number of slots; a function if it changes
 * @param maxWaiting the maximum number of waiting tasks
 * @param timedOut called when a task has timed out, with the milliseconds for which it waited
 */
export function fairQueue(
  concurrency: number | (() => number),
  maxWaiting: number,
  timedOut: (ms: number) => void = () => {},
): FairQueue {
  const slots = typeof concurrency === "number" ? () => concurrency : concurrency;
  const root = newGroup();
  /** In the order of arrival. */
  const waiting = new Set<Waiter>();
  const waitingByAccount = new Map<string, number>();
  const lanes = new Set<string>();
  let running = 0;

  const count = (waiter: Waiter, by: 1 | -1): void => {
    const ofAccount = (waitingByAccount.get(waiter.account) ?? 0) + by;
    if (ofAccount > 0) waitingByAccount.set(waiter.account, ofAccount);
    else waitingByAccount.delete(waiter.account);
    for (const [, group] of waiter.groups) group.size += by;
  };
  const add = (waiter: Waiter): void => {
    let parent = root;
    for (const name of [...waiter.networks.toReversed(), waiter.account]) {
      const group = parent.members.get(name) ?? newGroup();
      parent.members.set(name, group);
      waiter.groups.push([name, group]);
      parent = group;
    }
    parent.waiters.push(waiter);
    waiting.add(waiter);
    count(waiter, 1);
  };
  const remove = (waiter: Waiter): void => {
    waiting.delete(waiter);
    count(waiter, -1);
    let parent = root;
    for (const [name, group] of waiter.groups) {
      if (group.size === 0) parent.members.delete(name);
      parent = group;
    }
    parent.waiters.splice(parent.waiters.indexOf(waiter), 1);
  };

  /** The next task of a group: that of the member whose last turn is longest ago, if it has a task that can run. */
  const next = (group: Group): Waiter | undefined => {
    for (const member of group.members.values()) {
      const waiter = next(member);
      if (waiter) return waiter;
    }
    return group.waiters.find(({ lane }) => lane === undefined || !lanes.has(lane));
  };
  /** Moves the groups of a task that was admitted behind the other groups. */
  const rotate = ({ groups }: Waiter): void => {
    let parent = root;
    for (const [name, group] of groups) {
      if (parent.members.delete(name) && group.size > 0) parent.members.set(name, group);
      parent = group;
    }
  };
  const admitNext = (): void => {
    while (running < slots()) {
      const waiter = next(root);
      if (!waiter) return;
      remove(waiter);
      rotate(waiter);
      running += 1;
      if (waiter.lane !== undefined) lanes.add(waiter.lane);
      waiter.admit();
    }
  };
  /** The newest task of the largest group, by network or by account. */
  const newestOfLargest = (): Waiter | undefined => {
    let network: Group | undefined;
    for (const group of root.members.values()) if (group.size > (network?.size ?? 0)) network = group;
    let account = "";
    let ofAccount = network?.size ?? 0;
    for (const [name, size] of waitingByAccount)
      if (name !== "" && size > ofAccount) [account, ofAccount] = [name, size];
    let found: Waiter | undefined;
    for (const waiter of waiting) {
      // The first group is that of the widest network.
      if (account === "" ? waiter.groups[0]?.[1] === network : waiter.account === account) found = waiter;
    }
    return found;
  };

  /** @returns whether a slot was free and no task waits for it */
  const takeFreeSlot = (lane: string | undefined): boolean => {
    if (waiting.size > 0 || running >= slots() || (lane !== undefined && lanes.has(lane))) return false;
    running += 1;
    if (lane !== undefined) lanes.add(lane);
    return true;
  };

  const admission = (turn: Turn): Promise<void> =>
    new Promise((resolve, reject) => {
      const rejectTask = (): void => {
        clearTimeout(timer);
        remove(waiter);
        reject(new Problem("overloaded"));
      };
      const admit = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const waiter: Waiter = { ...turn, groups: [], admit, reject: rejectTask };
      const arrived = performance.now();
      const timer = setTimeout(() => {
        timedOut(performance.now() - arrived);
        rejectTask();
      }, turn.deadline - arrived);
      add(waiter);
      admitNext();
      if (waiting.size > maxWaiting) newestOfLargest()?.reject();
    });

  return {
    // The task runs in the caller's asynchronous context, which has the deadline and the trace of the request.
    async run(turn, task) {
      const { lane } = turn;
      if (turn.deadline <= performance.now()) throw new Problem("overloaded");
      if (!takeFreeSlot(lane)) await admission(turn);
      try {
        return await task();
      } finally {
        running -= 1;
        if (lane !== undefined) lanes.delete(lane);
        admitNext();
      }
    },
    admit: admitNext,
    waiting: () => waiting.size,
  };
}
