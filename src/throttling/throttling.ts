/**
 * Limits on wrong passwords and registrations, for all instances together. Unknown names are counted like users.
 *
 * An attempt takes its places before the password is looked at, and gives them back when it was right, so that of
 * many at once no more are looked at than the limit says. An attempt that is refused does not look for the user, and
 * does the same work for every name. SECURITY.md has a table of the limits and of what each costs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Networks, unknownNetwork } from "../networks.ts";
import { queueTimeoutMs, type Schedule } from "../passwords/hashing.ts";
import { Problem } from "../problems/problems.ts";
import type { CountStore } from "./counts.ts";
import type { ThrottleKeys } from "./keys.ts";
import {
  failuresExpireSeconds,
  type Limit,
  type Limits,
  limitOfWidth,
  Throttled,
  windowSeconds,
  withoutReserve,
} from "./limits.ts";
import { shortMemory } from "./memory.ts";

/** Whose password is tried, from where. */
export type Attempt = {
  /** What the account is found by, whether or not there is one. */
  account: string;
  networks: Networks;
};

export type Look<Account, Result> = {
  /** Finds what the password is compared with: only once it is known that the attempt may have a place. */
  find(): Promise<Account>;
  /**
   * Resolves with `undefined` for a wrong password.
   * @param isRemembered whether the network need not be noted again
   */
  evaluate(account: Account, turn: { deadline: number; isRemembered: boolean }): Promise<Result | undefined>;
};

export type Throttle = {
  /**
   * Looks at a password, if it may be, when its turn comes.
   * @throws {Throttled} and the problem `overloaded`
   */
  password<Account, Result>(attempt: Attempt, look: Look<Account, Result>): Promise<Result | undefined>;
  /**
   * Registers a user, if the network may. What `register` does needs a turn of its own.
   * @throws {Throttled} and the problem `overloaded`, which does not count
   */
  registration<Result>(attempt: Attempt, register: () => Promise<Result>): Promise<Result>;
};

/** No limits: for benchmarks. */
export const noThrottle = (schedule: Schedule): Throttle => ({
  password: (attempt, { find, evaluate }) =>
    schedule(attempt, async (deadline) => evaluate(await find(), { deadline, isRemembered: true })),
  registration: (_attempt, register) => register(),
});

/** After how long a place that others have taken is asked for again. Right passwords give it back soon. */
const retryMs = 100;
/** How often the last place for failures in a row is asked for: whether those before are decided is not known. */
const mostTries = 3;
/** The limit for one subject in one window. `most`: how many of the quota this attempt may find taken, itself included. */
type Place = { limit: Limit; key: string; quota: number; most: number };
type Refusal = { limit: Limit; quota: number; endsAtMs: number };
const busy = Symbol("the places are taken by attempts that are not decided yet");

export type ThrottleParts = {
  limits: Limits;
  store: CountStore;
  keys: ThrottleKeys;
  schedule: Schedule;
  /** The one that all instances share: their windows are the same. */
  clock: () => Date;
};

export function createThrottle({ limits, store, keys, schedule, clock }: ThrottleParts): Throttle {
  /** Refusals, so that a flood of attempts costs nothing. */
  const refusals = shortMemory<Refusal>();
  /** Accounts that strangers are refused at. Their attempts need not wait for each other. */
  const closed = shortMemory<true>();
  /** Where the right password came from a moment ago: a familiar network, of which nothing has to be asked. */
  const recent = shortMemory<true>();

  const windowAt = (now: Date) => {
    const number = Math.floor(now.getTime() / 1000 / windowSeconds);
    return { number, endsAt: new Date((number + 1) * windowSeconds * 1000) };
  };
  const tooMany = ({ limit, quota, endsAtMs }: Refusal): Throttled =>
    new Throttled(limit, quota, Math.max(1, Math.ceil((endsAtMs - clock().getTime()) / 1000)));

  /** A place in each network of a client, for strangers without the reserve. */
  const inNetworks = (limit: Limit, subject: string[], window: number, isStranger = false): Place[] =>
    subject.map((name, width) => {
      const quota = limitOfWidth(limits[limit], width);
      return { limit, key: `${name}.${limit}.${window}`, quota, most: isStranger ? withoutReserve(quota) : quota };
    });

  /** All that an attempt is counted by. The window is in each key, whatever a clock does. */
  function keysAt({ account, networks }: Attempt, now: Date) {
    const { number, endsAt } = windowAt(now);
    const accounts = keys.accounts(account);
    const networkKeys = networks.map(keys.network);
    const subjects = networkKeys.map((key) => `${accounts[0]}.${key}`);
    const both = inNetworks("account-address", subjects, number);
    const whole = { limit: "account" as const, quota: limits.account, most: limits.account };
    return {
      now,
      endsAt,
      accounts,
      /** Of the account and its narrowest network. */
      pair: (both[0] as Place).key,
      familiarKeys: keys.familiar(account, networks[0]),
      both,
      /** Of all familiar networks together: which they are can change within a window. */
      familiar: { ...whole, key: `${accounts[0]}.familiar.${number}` },
      strange: { ...whole, key: `${accounts[0]}.account.${number}` },
      address: inNetworks("address", networkKeys, number),
      addressOfStranger: inNetworks("address", networkKeys, number, true),
    };
  }
  type AttemptKeys = ReturnType<typeof keysAt>;
  type Wanted = { places: Place[]; mostInARow: number; isRemembered: boolean };

  /**
   * Finds out whether an attempt may take its places.
   * @returns what to take, or `busy`
   * @throws {Throttled}
   */
  async function judge(attempt: Attempt, keysOf: AttemptKeys, triesLeft: number): Promise<Wanted | typeof busy> {
    const { now, endsAt, accounts, pair, familiarKeys, both, familiar, strange, address, addressOfStranger } = keysOf;
    const [account] = accounts;
    const ofFamiliar = [both[0] as Place, familiar, ...address];
    if (recent.get(pair)) return { places: ofFamiliar, mostInARow: limits.consecutive, isRemembered: true };

    const keysOfPlaces = [...both, familiar, strange, ...address].map(({ key }) => key);
    const counted = await store.look({ places: keysOfPlaces, accounts, familiar: familiarKeys, now });
    const isStranger = !counted.isFamiliar || attempt.networks[0] === unknownNetwork;
    const refuse = (limit: Limit, quota: number, endsAtMs: number): Throttled => {
      const refusal = { limit, quota, endsAtMs };
      refusals.set(pair, refusal);
      if (isStranger && (limit === "account" || limit === "consecutive")) closed.set(account, true);
      return tooMany(refusal);
    };

    const inARow = Object.values(counted.accounts);
    const mostInARow = isStranger ? withoutReserve(limits.consecutive) : limits.consecutive;
    if (inARow.reduce((sum, { failures }) => sum + failures, 0) >= mostInARow) {
      if (triesLeft > 1 && !closed.get(account)) return busy;
      throw refuse("consecutive", limits.consecutive, Math.max(...inARow.map(({ expiresAtMs }) => expiresAtMs)));
    }
    const places = isStranger ? [...both, strange, ...addressOfStranger] : ofFamiliar;
    for (const { key, limit, quota, most } of places) {
      const { points, pending } = counted.places[key] ?? { points: 0, pending: 0 };
      if (points - pending >= most) throw refuse(limit, quota, endsAt.getTime());
      if (points >= most) return busy;
    }
    const earlier = accounts.slice(1).reduce((sum, key) => sum + (counted.accounts[key]?.failures ?? 0), 0);
    return { places, mostInARow: mostInARow - earlier, isRemembered: !isStranger && counted.isRemembered };
  }

  /** @throws {Throttled} */
  async function attemptOnce<Account, Result>(
    attempt: Attempt,
    triesLeft: number,
    deadline: number,
    { find, evaluate }: Look<Account, Result>,
  ): Promise<Result | undefined | typeof busy> {
    const keysOf = keysAt(attempt, clock());
    const { now, endsAt, accounts, pair } = keysOf;
    const [account] = accounts;
    refuseRemembered(pair);
    const wanted = await judge(attempt, keysOf, triesLeft);
    if (wanted === busy) return busy;

    const expiresAt = new Date(now.getTime() + failuresExpireSeconds * 1000);
    const [{ taken, hasAccount }, found] = await Promise.all([
      store.take({
        places: wanted.places,
        isPending: true,
        endsAt,
        account: { key: account, most: wanted.mostInARow, expiresAt },
        now,
      }),
      find().then(
        (account) => ({ account }),
        (error: unknown) => ({ error }),
      ),
    ]);
    const giveBack = () => store.settle({ places: taken, accounts: hasAccount ? [account] : [], outcome: "unread" });
    if (!hasAccount) {
      recent.delete(pair);
      if (taken.length > 0) await giveBack();
      return busy;
    }
    if ("error" in found) {
      await giveBack().catch(() => {});
      throw found.error;
    }
    let result: Result | undefined;
    try {
      result = await evaluate(found.account, { deadline, isRemembered: wanted.isRemembered });
    } catch (error) {
      // After any other failure it may have been looked at.
      const isUnread = error instanceof Problem && error.slug === "overloaded";
      await (isUnread ? giveBack() : store.settle({ places: taken, accounts, outcome: "wrong" })).catch(() => {});
      throw error;
    }
    await store.settle({ places: taken, accounts, outcome: result === undefined ? "wrong" : "right" });
    if (result !== undefined && wanted.isRemembered && accounts.length === 1) recent.set(pair, true);
    return result;
  }

  const refuseRemembered = (key: string): void => {
    const refusal = refusals.get(key);
    if (refusal) throw tooMany(refusal);
  };

  return {
    async password(attempt, look) {
      const deadline = performance.now() + queueTimeoutMs;
      const { accounts, pair } = keysAt(attempt, clock());
      const [account] = accounts;
      for (let triesLeft = mostTries; ; triesLeft -= 1) {
        // What is known to be refused neither waits nor asks the database.
        refuseRemembered(pair);
        // One at a time: right passwords that come all at once do not use up the places that each gives back.
        const lane = closed.get(account) ? pair : account;
        const result = await schedule({ networks: attempt.networks, account, lane, deadline }, () =>
          attemptOnce(attempt, triesLeft, deadline, look),
        );
        if (result !== busy) return result;
        await sleep(retryMs);
      }
    },

    async registration({ account, networks }, register) {
      const now = clock();
      const window = windowAt(now);
      const places = inNetworks("registrations", networks.map(keys.network), window.number);
      const [{ key: narrowest }] = places as [Place];
      refuseRemembered(narrowest);
      const giveBack = (taken: string[]) => store.settle({ places: taken, accounts: [], outcome: "unread" });
      const taken = await schedule({ networks, account }, async () => {
        refuseRemembered(narrowest);
        const { taken } = await store.take({ places, isPending: false, endsAt: window.endsAt, now });
        const refused = places.find(({ key }) => !taken.includes(key));
        if (!refused) return taken;
        if (taken.length > 0) await giveBack(taken);
        const refusal = { limit: refused.limit, quota: refused.quota, endsAtMs: window.endsAt.getTime() };
        refusals.set(narrowest, refusal);
        throw tooMany(refusal);
      });
      return register().catch(async (error: unknown) => {
        if (error instanceof Problem && error.slug === "overloaded") await giveBack(taken).catch(() => {});
        throw error;
      });
    },
  };
}
