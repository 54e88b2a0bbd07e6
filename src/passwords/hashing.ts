/**
 * Password hashes: argon2id in PHC form, computed a few at a time so that they cannot starve the
 * rest of the process, and always with the same work for a wrong password, so that nobody learns
 * from the time whether a user exists.
 */
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { hash as argon2, verify as argon2Verify } from "@node-rs/argon2";
import pLimit from "p-limit";
import { fairQueue, type Turn } from "../lib/fairQueue.ts";
import { Problem } from "../problems/problems.ts";

/** The cost of one hash (RFC 9106): memory in KiB, passes over it. One lane. */
export type HashCost = { memoryKiB: number; passes: number };

export type Verification = {
  matches: boolean;
  /** The password hashed at today's cost, where it matches and the stored hash has another one. */
  upgraded?: string;
};

export type PasswordHasher = {
  /**
   * Runs a task that hashes passwords when its turn comes. Turns are shared fairly by network and by account, and
   * whoever waits holds no slot.
   * @throws {Problem} `overloaded` at the deadline, or at once when too many wait
   */
  schedule: Schedule;
  /**
   * @param deadline when it is too late to begin, on the clock of `performance.now()`
   * @throws {Problem} `overloaded`
   */
  hash(password: string, deadline?: number): Promise<string>;
  /**
   * Compares a password with a stored hash. Without a hash (there is no such user) or without a
   * password (it is no possible one) nothing matches, after the same work.
   * @param deadline when it is too late to begin, on the clock of `performance.now()`
   * @throws {Problem} `overloaded`
   */
  verify(stored: string | undefined, password: string | undefined, deadline?: number): Promise<Verification>;
  /** All work so far, in KiB times passes: what a test can count and a clock cannot. */
  workDone(): number;
  /** How many are being computed, and how many wait. */
  load(): { running: number; waiting: number };
};

/** Kept in place of a hash: no password matches, after the same work. */
export const disabledPassword = "!";
/** @param task is given its deadline */
export type Schedule = <T>(turn: ScheduledTurn, task: (deadline: number) => Promise<T>) => Promise<T>;
/** A turn whose deadline is `queueTimeoutMs` from now unless it says otherwise. */
export type ScheduledTurn = Omit<Turn, "deadline"> & { deadline?: number };

/** Who wants to know of each. */
export type HashingObserver = {
  /** The cost of a computation, as it begins. */
  computing?: (cost: HashCost) => void;
  /** How long a password waited for its turn, in seconds. */
  waited?: ((seconds: number) => void) | undefined;
};

// argon2 and jose share libuv's pool of four threads: two hashes at a time leave it two.
const mostAtOnce = 2;
/** Slots for each hash at a time, so that processors are busy while others ask the database. */
const slotsForEach = 3;
/** Waiting tasks for each hash at a time. At some 40 hashes a second and core, more could not be served in time. */
const mostWaitingForEach = 32;
/** Whoever waits longer has perhaps gone, and is answered before a second is over. */
export const queueTimeoutMs = 700;
// No setting makes a dearer hash: one that claims more was put there to make us compute it.
const ceiling: HashCost = { memoryKiB: 1_048_576, passes: 20 };
// Argon2's own minimum for one lane (RFC 9106, section 3.1).
const minimumMemoryKiB = 8;

/** @param processes that share this machine's cores: all together hash no more passwords at a time than it has cores, if they can */
export function passwordHasher(
  cost: HashCost,
  warn: (message: string) => void,
  observer: HashingObserver = {},
  processes = 1,
): PasswordHasher {
  const share = processes === 1 ? mostAtOnce : Math.floor(availableParallelism() / processes);
  const atOnce = Math.max(1, Math.min(share, mostAtOnce));
  const limit = pLimit(atOnce);
  let work = 0;

  const compute = (password: string, { memoryKiB, passes }: HashCost) => {
    observer.computing?.({ memoryKiB, passes });
    work += memoryKiB * passes;
    return argon2(password, { memoryCost: memoryKiB, timeCost: passes, parallelism: 1 });
  };
  const compare = (stored: string, storedCost: HashCost, password: string) => {
    observer.computing?.(storedCost);
    work += storedCost.memoryKiB * storedCost.passes;
    return argon2Verify(stored, password);
  };
  const queue = fairQueue(slotsForEach * atOnce, mostWaitingForEach * atOnce, (ms) => observer.waited?.(ms / 1000));
  const schedule: Schedule = ({ deadline = performance.now() + queueTimeoutMs, ...turn }, task) =>
    queue.run({ ...turn, deadline }, () => task(deadline));
  const queued = <T>(task: () => Promise<T>, deadline = performance.now() + queueTimeoutMs): Promise<T> =>
    limit(async () => {
      const now = performance.now();
      // Since the request arrived: what it waited for its slot is part of it.
      observer.waited?.((now - deadline + queueTimeoutMs) / 1000);
      if (now > deadline) throw new Problem("overloaded");
      return task();
    });

  const impossible = randomBytes(32).toString("base64");

  return {
    schedule,
    hash: (password, deadline) => queued(() => compute(password, cost), deadline),
    verify: (stored, password, deadline) =>
      queued(async () => {
        const storedCost = stored === undefined ? undefined : costOf(stored);
        if (stored !== undefined && stored !== disabledPassword && !storedCost)
          warn("A stored password hash is not one of ours, or costs too much; refused.");
        if (stored === undefined || !storedCost) {
          await compute(password ?? impossible, cost);
          return { matches: false };
        }
        const matches = (await compare(stored, storedCost, password ?? impossible)) && password !== undefined;
        const isCurrent = storedCost.memoryKiB === cost.memoryKiB && storedCost.passes === cost.passes;
        if (isCurrent) return { matches };
        if (matches) return { matches, upgraded: await compute(password, cost) };
        await computeDifference(storedCost);
        return { matches };
      }, deadline),
    workDone: () => work,
    load: () => ({ running: limit.activeCount, waiting: queue.waiting() + limit.pendingCount }),
  };

  /**
   * An old, cheaper hash must not show in the time that a wrong password takes. The work of argon2
   * is memory times passes, so the missing work is done as whole passes over today's memory, and
   * one over a part of it. A dearer hash than today's does show, until its owner signs in: that is
   * the price of lowering the cost.
   */
  async function computeDifference(storedCost: HashCost): Promise<void> {
    const missing = cost.memoryKiB * cost.passes - storedCost.memoryKiB * storedCost.passes;
    const passes = Math.floor(missing / cost.memoryKiB);
    const rest = missing - passes * cost.memoryKiB;
    if (passes > 0) await compute(impossible, { memoryKiB: cost.memoryKiB, passes });
    if (rest >= minimumMemoryKiB) await compute(impossible, { memoryKiB: rest, passes: 1 });
  }
}

/** The cost that a PHC string states; `undefined` for another algorithm, more lanes or a cost above the ceiling. */
function costOf(stored: string): HashCost | undefined {
  const [, memory, passes] = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=1\$/.exec(stored) ?? [];
  const cost = { memoryKiB: Number(memory), passes: Number(passes) };
  return cost.memoryKiB <= ceiling.memoryKiB && cost.passes <= ceiling.passes ? cost : undefined;
}
