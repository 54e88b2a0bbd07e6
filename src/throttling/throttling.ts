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

/** Numbers by key, shared by all instances. Each method may throw the problem `database-unavailable`. */
export type CountStore = {
  /** Counts one more. @returns how many there are then */
  add(key: string): Promise<number>;
  /** Counts one less. */
  remove(key: string): Promise<void>;
  read(key: string): Promise<number>;
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
   * @throws {Throttled} and `overloaded` where others are first
   */
  password<T>(attempt: Attempt, evaluate: (deadline: number) => Promise<T | undefined>): Promise<T | undefined>;
  /** @throws {Throttled} */
  registration(network: string): Promise<void>;
};

/** The problem `too-many-requests`, with what the client may know of the limit (draft-ietf-httpapi-ratelimit-headers). */
export class Throttled extends Problem {
  readonly limit: Limit;

  constructor(limit: Limit, quota: number, seconds: number) {
    super("too-many-requests", {
      detail: `Too many ${limit === "registrations" ? limit : "wrong passwords"}. Try again in ${seconds} seconds.`,
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

/** Where something is counted: the limit for one subject in one window. */
type Place = { limit: Limit; key: string; endsAtMs: number };

/** @param clock the one that all instances share: their windows are the same */
export function createThrottle(limits: Limits, store: CountStore, clock: () => Date): Throttle {
  const exhausted = new Map<string, number>();
  const queues = new Map<string, LimitFunction>();

  /**
   * The window is part of the key: whatever a clock does and whoever comes late, what was counted in
   * one window is never taken from another.
   */
  const placeOf = (limit: Limit, subject: string): Place => {
    // A digest, since what is typed as a username may be a password.
    const digest = createHash("sha256").update(`${limit}\n${subject}`).digest("base64url");
    const window = Math.floor(clock().getTime() / 1000 / windowSeconds);
    return { limit, key: `${digest}.${window}`, endsAtMs: (window + 1) * windowSeconds * 1000 };
  };
  const tooMany = ({ limit, endsAtMs }: Place): Throttled =>
    new Throttled(limit, limits[limit], Math.max(1, Math.ceil((endsAtMs - clock().getTime()) / 1000)));
  const refuseExhausted = (place: Place): void => {
    if ((exhausted.get(place.key) ?? 0) > performance.now()) throw tooMany(place);
  };
  const exhaust = (place: Place): Throttled => {
    if (exhausted.size >= mostRemembered) exhausted.clear();
    exhausted.set(place.key, performance.now() + rememberExhaustedMs);
    return tooMany(place);
  };
  const take = async (place: Place): Promise<void> => {
    for (let left = tries; ; ) {
      refuseExhausted(place);
      if ((await store.add(place.key)) <= limits[place.limit]) return;
      await store.remove(place.key);
      left -= 1;
      if (left === 0) throw exhaust(place);
      await sleep(betweenTriesMs);
    }
  };
  const requireLeft = async (place: Place): Promise<void> => {
    if ((await store.read(place.key)) >= limits[place.limit]) throw exhaust(place);
  };
  /** One at a time: right passwords that come all at once do not use up what each gives back. */
  const inTurn = async <T>({ key }: Place, task: () => Promise<T>): Promise<T> => {
    const queue = queues.get(key) ?? pLimit(1);
    queues.set(key, queue);
    try {
      return await queue(task);
    } finally {
      if (queue.activeCount + queue.pendingCount === 0) queues.delete(key);
    }
  };

  return {
    async password({ account, network, isFamiliar }, evaluate) {
      const deadline = performance.now() + patienceMs;
      const forBoth = placeOf("account-address", `${account}\n${network}`);
      const forAccount = placeOf("account", account);
      const forAddress = placeOf("address", network);
      const needed = isFamiliar ? [forBoth] : [forBoth, forAccount];
      // What is known to be refused neither waits in line nor asks the database.
      for (const place of isFamiliar ? needed : [...needed, forAddress]) refuseExhausted(place);
      return inTurn(isFamiliar ? forBoth : forAccount, async () => {
        if (!isFamiliar) await requireLeft(forAddress);
        const taken: Place[] = [];
        const leave = () => Promise.all(taken.map(({ key }) => store.remove(key)));
        try {
          for (const place of needed) {
            await take(place);
            taken.push(place);
          }
          const result = await evaluate(deadline);
          if (result === undefined) await store.add(forAddress.key);
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
      const place = placeOf("registrations", network);
      refuseExhausted(place);
      if ((await store.add(place.key)) > limits.registrations) throw exhaust(place);
    },
  };
}
