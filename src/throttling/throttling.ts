/**
 * Who is guessing: wrong passwords are counted by account, by account and network, and by network,
 * for all instances together, and registrations by network. Unknown users are counted like known ones.
 *
 * A password takes its place among the guesses before it is looked at and gives it back when it was
 * right, so that of many at once no more are looked at than the limit says. From a network that has
 * signed in to the account before, only that network's own guesses count: nobody else can lock it out.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pLimit, { type LimitFunction } from "p-limit";
import { Problem } from "../contract/problems.ts";

/** A lockout lasts no longer. */
export const windowSeconds = 900;
/**
 * So many networks of an account are remembered. In any hour five windows can have a part, so that
 * 5 × (5 + 3 × 5) = 100 guesses are looked at with the limits as they are by default.
 */
export const familiarNetworks = 3;

export type Limit = "account-address" | "account" | "address" | "registrations";
/** How many there may be in a window. */
export type Limits = Record<Limit, number>;

/** What is counted in the present window of a key, and when that ends, as `Date.now()` has it. */
export type Count = { points: number; endsAt: number };
export type CountStore = {
  /** Counts one more. @throws {Problem} `database-unavailable` */
  add(key: string): Promise<Count>;
  /** Counts one less. */
  remove(key: string): Promise<void>;
  read(key: string): Promise<Count>;
};

/** Whose password is tried, from where. */
export type Attempt = {
  /** What the account is found by, whether or not there is one. */
  account: string;
  network: string;
  /** Whether that network has signed in to that account before. */
  isFamiliar: boolean;
};

export type Throttle = {
  /**
   * Has a password looked at, if it may be.
   * @param evaluate resolves with `undefined` for a wrong one
   * @throws {Problem} `too-many-requests`; `overloaded` where others from there are first
   */
  password<T>(attempt: Attempt, evaluate: (deadline: number) => Promise<T | undefined>): Promise<T | undefined>;
  /** @throws {Problem} `too-many-requests` */
  registration(network: string): Promise<void>;
};

/** The problem `too-many-requests`, with what the client may know of the limit (draft-ietf-httpapi-ratelimit-headers). */
export class Throttled extends Problem {
  readonly limit: Limit;

  constructor(limit: Limit, quota: number, seconds: number) {
    super("too-many-requests", {
      detail: `Try again in ${seconds} seconds.`,
      headers: {
        "Retry-After": String(seconds),
        "RateLimit-Policy": `"${limit}";q=${quota};w=${windowSeconds}`,
        RateLimit: `"${limit}";r=0;t=${seconds}`,
      },
    });
    this.limit = limit;
  }
}

/** How long a password may wait to be looked at. */
const patienceMs = 700;
/** A place that was taken by a right password on another instance is free again soon. */
const tries = 3;
const betweenTriesMs = 100;
/** So long an exhausted limit is not asked for again, so that a flood costs nothing. */
const rememberExhaustedMs = 2_000;
const mostRemembered = 10_000;

/** Lets everything pass: for benchmarks. */
export const noThrottle: Throttle = {
  password: (_attempt, evaluate) => evaluate(performance.now() + patienceMs),
  registration: () => Promise.resolve(),
};

export function createThrottle(limits: Limits, store: CountStore): Throttle {
  const exhausted = new Map<string, { until: number; endsAt: number; problem: Throttled }>();
  const queues = new Map<string, LimitFunction>();

  const refuseExhausted = (key: string): void => {
    const known = exhausted.get(key);
    if (!known) return;
    if (performance.now() < known.until && Date.now() < known.endsAt) throw known.problem;
    exhausted.delete(key);
  };
  const exhaust = (limit: Limit, key: string, count: Count): Throttled => {
    const seconds = Math.max(1, Math.ceil((count.endsAt - Date.now()) / 1000));
    const problem = new Throttled(limit, limits[limit], seconds);
    if (exhausted.size >= mostRemembered) exhausted.clear();
    exhausted.set(key, { until: performance.now() + rememberExhaustedMs, endsAt: count.endsAt, problem });
    return problem;
  };
  /** What was counted in a window that is over must not be taken from the next. */
  const giveBack = async (key: string, { endsAt }: Count): Promise<void> => {
    if (Date.now() < endsAt) await store.remove(key);
  };
  /** Takes a place of a limit. @returns how to give it back */
  const take = async (limit: Limit, subject: string): Promise<() => Promise<void>> => {
    const key = keyOf(limit, subject);
    refuseExhausted(key);
    for (let left = tries; ; ) {
      const count = await store.add(key);
      if (count.points <= limits[limit]) return () => giveBack(key, count);
      await giveBack(key, count);
      left -= 1;
      if (left === 0) throw exhaust(limit, key, count);
      await sleep(betweenTriesMs);
    }
  };
  const requireLeft = async (limit: Limit, subject: string): Promise<void> => {
    const key = keyOf(limit, subject);
    refuseExhausted(key);
    const count = await store.read(key);
    if (count.points >= limits[limit]) throw exhaust(limit, key, count);
  };
  /** One at a time: right passwords that come all at once do not use up what each gives back. */
  const inTurn = async <T>(key: string, task: () => Promise<T>): Promise<T> => {
    const queue = queues.get(key) ?? pLimit(1);
    queues.set(key, queue);
    try {
      return await queue(task);
    } finally {
      if (queue.activeCount + queue.pendingCount === 0) queues.delete(key);
    }
  };

  return {
    password({ account, network, isFamiliar }, evaluate) {
      const deadline = performance.now() + patienceMs;
      const both = `${account}\n${network}`;
      return inTurn(both, async () => {
        if (!isFamiliar) await requireLeft("address", network);
        const places = [await take("account-address", both)];
        const leave = () => Promise.all(places.map((giveBack) => giveBack()));
        try {
          if (!isFamiliar) places.push(await take("account", account));
          const result = await evaluate(deadline);
          if (result === undefined) await store.add(keyOf("address", network));
          else await leave();
          return result;
        } catch (error) {
          // Not looked at. After any other failure it may have been.
          if (error instanceof Throttled || (error instanceof Problem && error.slug === "overloaded")) await leave();
          throw error;
        }
      });
    },

    async registration(network) {
      const key = keyOf("registrations", network);
      refuseExhausted(key);
      const count = await store.add(key);
      if (count.points > limits.registrations) throw exhaust("registrations", key, count);
    },
  };
}

/** A digest, since what is typed as a username may be a password. */
const keyOf = (limit: Limit, subject: string) =>
  createHash("sha256").update(`${limit}\n${subject}`).digest("base64url");
