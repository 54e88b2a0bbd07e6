/**
 * Password hashes: argon2id in the PHC string format. Few are computed at a time, so that they do not starve the rest of the
 * process. A wrong password always takes the same work, so that the response time does not reveal whether a user exists.
 * The hashes of other programs (foreign/) are replaced at the first sign-in. Until then, a check takes their work as well.
 */
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { hash as argon2, verify as argon2Verify } from "@node-rs/argon2";
import pLimit from "p-limit";
import { fairQueue, type Turn } from "../lib/fairQueue.ts";
import { Problem } from "../problems/problems.ts";
import { currentRequest } from "../requestContext.ts";
import { readForeignHash } from "./foreign/foreign.ts";
import type { ForeignHash } from "./foreign/foreignHash.ts";
import { canonicalPassword } from "./policy.ts";

/** The cost of one hash (RFC 9106): memory in KiB, and passes over it. One lane. */
export type HashCost = { memoryKiB: number; passes: number };

export type Verification = {
  matches: boolean;
  /** The password hashed at the current cost, if it matches and the stored hash has another cost or form. */
  upgraded?: string;
};

export type PasswordHasher = {
  /**
   * Runs a task that hashes passwords when its turn comes. Turns are shared fairly between networks and accounts. A waiting
   * task occupies no slot.
   * @throws {Problem} `overloaded` at the deadline, or at once if too many tasks wait
   */
  schedule: Schedule;
  /**
   * @param deadline the latest start, on the clock of `performance.now()`
   * @throws {Problem} `overloaded`
   */
  hash(password: string, deadline?: number): Promise<string>;
  /**
   * Compares a password with a stored hash. Without a hash (there is no such user), or if the text cannot be a password, it takes
   * the same work and nothing matches. A foreign hash takes this work and its own.
   * @param typed is compared in its canonical form, and with a foreign hash also as it is
   * @param deadline the latest start, on the clock of `performance.now()`
   * @throws {Problem} `overloaded`
   */
  verify(stored: string | undefined, typed: string, deadline?: number): Promise<Verification>;
  /** All work so far, in KiB times passes. Unlike time, a test can compare it exactly. */
  workDone(): number;
  /** How many hashes are being computed, and how many tasks wait. */
  load(): { running: number; waiting: number };
};

/** Stored instead of a hash. No password matches it, and a check takes the same work. */
export const disabledPassword = "!";
/** @param task receives its deadline */
export type Schedule = <T>(turn: ScheduledTurn, task: (deadline: number) => Promise<T>) => Promise<T>;
/** By default, the deadline is `queueTimeoutMs` from now. */
export type ScheduledTurn = Omit<Turn, "deadline"> & { deadline?: number };

export type HashingObserver = {
  /** Called as a computation begins, with its cost. */
  computing?: (cost: HashCost) => void;
  /** Called as a check of a foreign hash begins. */
  checkingForeign?: (hash: ForeignHash) => void;
  /** Called with the seconds for which a password waited for its turn. */
  waited?: ((seconds: number) => void) | undefined;
};

/** argon2 and signatures share libuv's pool of four threads. Of the other two, foreign hashes use at most one. */
const maxConcurrent = 2;
/** Slots per concurrent hash, so that the processors are busy while other tasks wait for the database. */
const slotsPerHash = 3;
/** Waiting tasks per concurrent hash. At about 40 hashes per second and core, more could not be served in time. */
const maxWaitingPerHash = 32;
/** A foreign hash can take two seconds, in a thread of the pool. */
const maxConcurrentForeign = 1;
/** How long a task may wait. The client gets a response within a second. */
export const queueTimeoutMs = 700;
/** No setting allows a higher cost. Somebody may have stored such a hash to overload the service. */
const maxCost: HashCost = { memoryKiB: 1_048_576, passes: 20 };
/** For one lane (RFC 9106, section 3.1). */
const minimumMemoryKiB = 8;

/** @param processes the number of processes on this machine. Together they compute at most one hash per core at a time. */
export function passwordHasher(
  cost: HashCost,
  warn: (message: string) => void,
  observer: HashingObserver = {},
  processes = 1,
): PasswordHasher {
  const share = processes === 1 ? maxConcurrent : Math.floor(availableParallelism() / processes);
  const concurrency = Math.max(1, Math.min(share, maxConcurrent));
  const limit = pLimit(concurrency);
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
  const queue = fairQueue(slotsPerHash * concurrency, maxWaitingPerHash * concurrency, (ms) =>
    observer.waited?.(ms / 1000),
  );
  const schedule: Schedule = ({ deadline = performance.now() + queueTimeoutMs, ...turn }, task) =>
    queue.run({ ...turn, deadline }, () => task(deadline));
  const queued = <T>(task: () => Promise<T>, deadline = performance.now() + queueTimeoutMs): Promise<T> =>
    limit(async () => {
      const now = performance.now();
      // Includes the wait for a slot.
      observer.waited?.((now - deadline + queueTimeoutMs) / 1000);
      if (now > deadline) throw new Problem("overloaded");
      return task();
    });

  const impossible = randomBytes(32).toString("base64");

  const foreign = pLimit(maxConcurrentForeign);
  /** The tasks of foreign hashes take some of the slots. The others stay free for users who have a hash of ours. */
  const maxForeign = (slotsPerHash - 1) * concurrency;

  return {
    schedule,
    hash: (password, deadline) => queued(() => compute(password, cost), deadline),
    verify(stored, typed, deadline) {
      const password = canonicalPassword(typed);
      const storedCost = stored === undefined ? undefined : costOf(stored);
      const foreignHash = stored === undefined || storedCost ? undefined : readForeignHash(stored);
      if (foreignHash && "matches" in foreignHash) return verifyForeign(foreignHash, { typed, password }, deadline);
      return queued(async () => {
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
      }, deadline);
    },
    workDone: () => work,
    load: () => ({
      running: limit.activeCount + foreign.activeCount,
      waiting: queue.waiting() + limit.pendingCount + foreign.pendingCount,
    }),
  };

  /**
   * Computes a hash of ours first, also for a wrong password: so a check is never cheaper than for an unknown user. Then it checks
   * the password in its canonical form, and as it was typed if that differs: the other program may not have normalized it.
   */
  async function verifyForeign(
    hash: ForeignHash,
    { typed, password }: { typed: string; password: string | undefined },
    deadline = performance.now() + queueTimeoutMs,
  ): Promise<Verification> {
    if (foreign.activeCount + foreign.pendingCount >= maxForeign) throw new Problem("overloaded");
    return foreign(async () => {
      const ours = await queued(() => compute(password ?? impossible, cost), deadline);
      if (password === undefined) return { matches: false };
      const began = performance.now();
      observer.checkingForeign?.(hash);
      const matches = (await hash.matches(password)) || (typed !== password && (await hash.matches(typed)));
      // A slow hash leaves the database its time.
      const request = currentRequest();
      if (request) request.deadline += performance.now() - began;
      return matches ? { matches, upgraded: ours } : { matches };
    });
  }

  /**
   * Makes a wrong password take as long for a hash with an old, lower cost as for any other. The work of argon2 is memory times
   * passes. The missing work is done as whole passes over the current memory, and one pass over a part of it. After the cost was
   * lowered, a hash with the old, higher cost takes longer until its user signs in.
   */
  async function computeDifference(storedCost: HashCost): Promise<void> {
    const missing = cost.memoryKiB * cost.passes - storedCost.memoryKiB * storedCost.passes;
    const passes = Math.floor(missing / cost.memoryKiB);
    const rest = missing - passes * cost.memoryKiB;
    if (passes > 0) await compute(impossible, { memoryKiB: cost.memoryKiB, passes });
    if (rest >= minimumMemoryKiB) await compute(impossible, { memoryKiB: rest, passes: 1 });
  }
}

/** The cost in a PHC string; `undefined` for another algorithm, more than one lane or a cost above the maximum. */
function costOf(stored: string): HashCost | undefined {
  const [, memory, passes] = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=1\$/.exec(stored) ?? [];
  const cost = { memoryKiB: Number(memory), passes: Number(passes) };
  return cost.memoryKiB <= maxCost.memoryKiB && cost.passes <= maxCost.passes ? cost : undefined;
}

/** Whether a hash is one that this service makes at the given cost. */
export function isOurs(stored: string, { memoryKiB, passes }: HashCost): boolean {
  return stored.startsWith(`$argon2id$v=19$m=${memoryKiB},t=${passes},p=1$`);
}
