/**
 * Shares a few slots fairly. A waiting task holds no slot. Turns go round the networks, widest first, and within a
 * network round the accounts, so that neither many requests, nor many accounts, nor many addresses of one IPv6
 * network get more than one share. When too many wait, the largest group loses, not a newcomer of a small one.
 */
import { Problem } from "../problems/problems.ts";

/** Whom a task is for. */
export type Turn = {
  /** From the narrowest to the widest, as `networksOf` returns them. */
  networks: readonly string[];
  /** Empty where only networks count. */
  account: string;
  /** At most one task of a lane runs at a time. */
  lane?: string;
  /** When it is too late to begin, on the clock of `performance.now()`. */
  deadline: number;
};

export type FairQueue = {
  /**
   * Runs a task when its turn comes.
   * @throws {Problem} `overloaded` at the deadline, or at once when too many wait
   */
  run<T>(turn: Turn, task: () => Promise<T>): Promise<T>;
  /** Admits waiting tasks after the limit has grown. */
  admit(): void;
  waiting(): number;
};

type Waiter = Turn & { groups: [name: string, group: Group][]; admit(): void; refuse(): void };
/** A network with its narrower networks, or an account of one: Only the groups of accounts have waiters. */
type Group = { members: Map<string, Group>; waiters: Waiter[]; size: number };

const newGroup = (): Group => ({ members: new Map(), waiters: [], size: 0 });

/**
 * @param atOnce how many tasks run at a time; a function where that changes
 * @param mostWaiting bounds the memory
 * @param timedOut is called when a task has timed out, with the milliseconds for which it waited
 */
export function fairQueue(
  atOnce: number | (() => number),
  mostWaiting: number,
  timedOut: (ms: number) => void = () => {},
): FairQueue {
  const slots = typeof atOnce === "number" ? () => atOnce : atOnce;
  const root = newGroup();
  /** In the order of their arrival. */
  const waiting = new Set<Waiter>();
  const waitingOf = new Map<string, number>();
  const lanes = new Set<string>();
  let running = 0;

  const count = (waiter: Waiter, by: 1 | -1): void => {
    const ofAccount = (waitingOf.get(waiter.account) ?? 0) + by;
    if (ofAccount > 0) waitingOf.set(waiter.account, ofAccount);
    else waitingOf.delete(waiter.account);
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

  /** Whose turn it is: of each group the member that has waited for longest, if anything of it can run. */
  const next = (group: Group): Waiter | undefined => {
    for (const member of group.members.values()) {
      const waiter = next(member);
      if (waiter) return waiter;
    }
    return group.waiters.find(({ lane }) => lane === undefined || !lanes.has(lane));
  };
  /** Puts the groups of who had a turn behind the others. */
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
  /** The newest of the largest group, by network or by account. */
  const loser = (): Waiter | undefined => {
    let network: Group | undefined;
    for (const group of root.members.values()) if (group.size > (network?.size ?? 0)) network = group;
    let account = "";
    let ofAccount = network?.size ?? 0;
    for (const [name, size] of waitingOf) if (name !== "" && size > ofAccount) [account, ofAccount] = [name, size];
    let found: Waiter | undefined;
    for (const waiter of waiting) {
      // The first of its groups is its widest network, the largest of them.
      if (account === "" ? waiter.groups[0]?.[1] === network : waiter.account === account) found = waiter;
    }
    return found;
  };

  const admission = (turn: Turn): Promise<void> =>
    new Promise((resolve, reject) => {
      const refuse = (): void => {
        clearTimeout(timer);
        remove(waiter);
        reject(new Problem("overloaded"));
      };
      const admit = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const waiter: Waiter = { ...turn, groups: [], admit, refuse };
      const arrived = performance.now();
      const timer = setTimeout(() => {
        timedOut(performance.now() - arrived);
        refuse();
      }, turn.deadline - arrived);
      add(waiter);
      admitNext();
      if (waiting.size > mostWaiting) loser()?.refuse();
    });

  return {
    // The task goes on in the caller's own asynchronous context, which has the deadline and the trace of its request.
    async run(turn, task) {
      const { lane } = turn;
      if (turn.deadline <= performance.now()) throw new Problem("overloaded");
      await admission(turn);
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
