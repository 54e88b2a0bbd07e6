/**
 * Limits on wrong passwords and registrations, shared by all instances. Names without a user are counted like users.
 *
 * An attempt is counted before the password is checked, and no longer counts if the password is right. So of many concurrent
 * attempts, no more are checked than the limit allows. A rejected attempt does not look up the user, and does the same work
 * for every name. SECURITY.md has a table of the limits and of what each costs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Networks, unknownNetwork } from "../networks.ts";
import { queueTimeoutMs, type Schedule } from "../passwords/hashing.ts";
import { Problem } from "../problems/problems.ts";
import { expiringMap } from "./expiringMap.ts";
import type { ThrottleKeys } from "./keys.ts";
import {
  failuresExpireSeconds,
  type Limit,
  type Limits,
  limitOfNetwork,
  Throttled,
  windowSeconds,
  withoutReserve,
} from "./limits.ts";
import type { Account, AccountReference, AttemptStore, Counter, StartedAttempt } from "./storeTypes.ts";

/** Who registers or signs in, from where. */
export type Client = {
  /** The username, whether or not there is such a user. */
  account: string;
  networks: Networks;
};

/**
 * Checks the password of an account.
 * @param account `undefined` if there is no such user
 * @returns `undefined` if the password is wrong
 */
export type PasswordCheck<Result> = (account: Account | undefined, deadline: number) => Promise<Result | undefined>;

export type CheckedPassword<Result> = {
  account: Account | undefined;
  /** `undefined` if the password is wrong. */
  result: Result | undefined;
  /** The token epoch after the check. `undefined` if the password was replaced or the user deleted, or if it is not known. */
  currentEpoch?: number | undefined;
};

export type Throttle = {
  /**
   * Checks a password within the limits, when its turn comes.
   * @throws {Throttled} and the problem `overloaded`
   */
  checkPassword<Result>(
    attempt: Client & { reference: AccountReference },
    check: PasswordCheck<Result>,
  ): Promise<CheckedPassword<Result>>;
  /**
   * Registers a user within the limit of the network. `register` schedules its own work.
   * @throws {Throttled} and the problem `overloaded`, which does not count
   */
  registration<Result>(client: Client, register: () => Promise<Result>): Promise<Result>;
};

/** No limits: for benchmarks. */
export const noThrottle = (
  schedule: Schedule,
  findAccount: (reference: AccountReference) => Promise<Account | undefined>,
): Throttle => ({
  checkPassword: ({ account: name, networks, reference }, check) =>
    schedule({ account: name, networks }, async (deadline) => {
      const account = await findAccount(reference);
      return { account, result: await check(account, deadline) };
    }),
  registration: (_client, register) => register(),
});

/** The delay before an attempt that met the limit only because of others in progress. They may release it. */
const retryDelayMs = 100;
/** How often such an attempt meets the limit of consecutive failures, of which it is not known how many are in progress. */
const maxTriesForFailures = 3;

type LimitedCounter = Counter & { limit: Limit; quota: number };
type Rejection = { limit: Limit; quota: number; endsAtMs: number };
const busy = Symbol("other attempts in progress have reached a limit");

export type ThrottleParts = {
  limits: Limits;
  store: AttemptStore;
  keys: ThrottleKeys;
  schedule: Schedule;
  /** The clock that all instances share, so that their windows are the same. */
  clock: () => Date;
};

export function createThrottle({ limits, store, keys, schedule, clock }: ThrottleParts): Throttle {
  /** By account, narrowest network and window, so that a flood of rejected attempts makes no query. */
  const rejections = expiringMap<Rejection>();
  /** Accounts that reject unknown networks. Attempts there need not wait for each other. */
  const closedAccounts = expiringMap<true>();

  const windowAt = (now: Date) => {
    const number = Math.floor(now.getTime() / 1000 / windowSeconds);
    return { number, endsAt: new Date((number + 1) * windowSeconds * 1000) };
  };
  const throttled = ({ limit, quota, endsAtMs }: Rejection): Throttled =>
    new Throttled(limit, quota, Math.max(1, Math.ceil((endsAtMs - clock().getTime()) / 1000)));
  const rethrowKnownRejection = (key: string): void => {
    const rejection = rejections.get(key);
    if (rejection) throw throttled(rejection);
  };

  function keysOf({ account, networks }: Client) {
    const failureKeys = keys.accounts(account);
    const networkKeys = networks.map(keys.network);
    return {
      account: failureKeys[0],
      failureKeys,
      networkKeys,
      /** Of the account and each network, from the narrowest on. */
      pairs: networkKeys.map((key) => `${failureKeys[0]}.${key}`) as [string, ...string[]],
      knownNetworkKeys: networks[0] === unknownNetwork ? [] : keys.knownNetworks(account, networks[0]),
    };
  }
  type Keys = ReturnType<typeof keysOf>;

  /** Every key ends with the number of the window, so that counters of two windows are never mixed. */
  function countersOf({ account, networkKeys, pairs }: Keys, window: number): LimitedCounter[] {
    const counter = (limit: Limit, key: string, quota = limits[limit]) => ({ limit, key: `${key}.${window}`, quota });
    return [
      ...pairs.map((pair, width) => {
        const quota = limitOfNetwork(limits["account-address"], width);
        // From a known network, the wider networks do not count.
        const limitIfKnown = width === 0 ? quota : 0;
        return { ...counter("account-address", `${pair}.account-address`, quota), limitIfKnown, limitIfUnknown: quota };
      }),
      // One counter for all known networks: which networks are known can change within a window.
      { ...counter("account", `${account}.familiar`), limitIfKnown: limits.account, limitIfUnknown: 0 },
      { ...counter("account", `${account}.account`), limitIfKnown: 0, limitIfUnknown: limits.account },
      ...networkKeys.map((key, width) => {
        const quota = limitOfNetwork(limits.address, width);
        const limitIfUnknown = withoutReserve(quota);
        return { ...counter("address", `${key}.address`, quota), limitIfKnown: quota, limitIfUnknown };
      }),
    ];
  }

  /** @returns the limit that rejects an attempt; `undefined` if it may be admitted when those in progress are settled */
  function rejectionOf(started: StartedAttempt, counters: LimitedCounter[], isLastTry: boolean): Rejection | undefined {
    const { isKnownNetwork, failures, failuresExpireAtMs, counts } = started;
    const maxFailures = isKnownNetwork ? limits.consecutive : withoutReserve(limits.consecutive);
    if (failures >= maxFailures) {
      if (!isLastTry) return undefined;
      return { limit: "consecutive", quota: limits.consecutive, endsAtMs: failuresExpireAtMs };
    }
    for (const { key, limit, quota, limitIfKnown, limitIfUnknown } of counters) {
      const max = isKnownNetwork ? limitIfKnown : limitIfUnknown;
      const { points, inProgress } = counts[key] ?? { points: 0, inProgress: 0 };
      if (max === 0 || points < max) continue;
      return points - inProgress >= max ? { limit, quota, endsAtMs: windowAt(clock()).endsAt.getTime() } : undefined;
    }
    return undefined;
  }

  type Attempt = Client & { reference: AccountReference };
  type Try = { number: number; deadline: number };

  /** @throws {Throttled} */
  async function tryPassword<Result>(
    attempt: Attempt,
    keysOfAttempt: Keys,
    { number, deadline }: Try,
    check: PasswordCheck<Result>,
  ): Promise<CheckedPassword<Result> | typeof busy> {
    const { account: accountKey, failureKeys, pairs, knownNetworkKeys } = keysOfAttempt;
    const now = clock();
    const { number: window, endsAt } = windowAt(now);
    const rejectionKey = `${pairs[0]}.${window}`;
    rethrowKnownRejection(rejectionKey);
    const counters = countersOf(keysOfAttempt, window);
    const started = await store.begin({
      reference: attempt.reference,
      counters,
      countersEndAt: endsAt,
      failureKeys,
      maxFailuresIfKnown: limits.consecutive,
      maxFailuresIfUnknown: withoutReserve(limits.consecutive),
      failuresExpireAt: new Date(now.getTime() + failuresExpireSeconds * 1000),
      networkKeys: knownNetworkKeys,
      now,
    });
    const { isAdmitted, isBelowLimits, isKnownNetwork, isRecentlyUsedNetwork, reserved, account } = started;
    if (!isBelowLimits) {
      const isLastTry = number >= maxTriesForFailures || closedAccounts.get(accountKey) === true;
      const rejection = rejectionOf(started, counters, isLastTry);
      if (!rejection) return busy;
      rejections.set(rejectionKey, rejection);
      const closesAccount = rejection.limit === "account" || rejection.limit === "consecutive";
      if (!isKnownNetwork && closesAccount) closedAccounts.set(accountKey, true);
      throw throttled(rejection);
    }
    if (!isAdmitted) {
      // Another attempt came first.
      if (reserved.length > 0) await store.release({ counters: reserved, failureKeys: [], outcome: "unchecked" });
      return busy;
    }
    let result: Result | undefined;
    try {
      result = await check(account, deadline);
    } catch (error) {
      // After any other error, the password may have been checked.
      const isUnchecked = error instanceof Problem && error.slug === "overloaded";
      const settled = isUnchecked
        ? { failureKeys: [accountKey], outcome: "unchecked" as const }
        : { failureKeys, outcome: "wrong" as const };
      await store.release({ counters: reserved, ...settled }).catch(() => {});
      throw error;
    }
    if (result === undefined || !account) {
      await store.release({ counters: reserved, failureKeys, outcome: "wrong" });
      return { account, result: undefined };
    }
    const [networkKey] = knownNetworkKeys;
    const network =
      networkKey === undefined || isRecentlyUsedNetwork ? undefined : { name: attempt.networks[0], key: networkKey };
    const success = { counters: reserved, failureKeys, userId: account.id, epoch: account.tokenEpoch };
    const currentEpoch = await store.succeed({ ...success, network }).catch((error: unknown) => {
      // A network that cannot be remembered does not fail the sign-in. After an outage, the counts may have changed.
      if (!network || error instanceof Problem) throw error;
      return store.succeed({ ...success, network: undefined });
    });
    return { account, result, currentEpoch };
  }

  return {
    async checkPassword(attempt, check) {
      const deadline = performance.now() + queueTimeoutMs;
      const keysOfAttempt = keysOf(attempt);
      const { account, pairs } = keysOfAttempt;
      const [pair] = pairs;
      for (let number = 1; ; number += 1) {
        // An attempt that is known to be rejected neither waits nor makes a query.
        rethrowKnownRejection(`${pair}.${windowAt(clock()).number}`);
        // One at a time: concurrent right passwords do not reach limits that each of them releases.
        const lane = closedAccounts.get(account) ? pair : account;
        const checked = await schedule({ networks: attempt.networks, account, lane, deadline }, () =>
          tryPassword(attempt, keysOfAttempt, { number, deadline }, check),
        );
        if (checked !== busy) return checked;
        await sleep(retryDelayMs);
      }
    },

    async registration({ account, networks }, register) {
      const window = windowAt(clock());
      const counters = networks.map((network, width) => ({
        key: `${keys.network(network)}.registrations.${window.number}`,
        limit: limitOfNetwork(limits.registrations, width),
      }));
      const narrowest = counters[0]?.key ?? "";
      const release = (reserved: string[]) =>
        store.release({ counters: reserved, failureKeys: [], outcome: "unchecked" });
      rethrowKnownRejection(narrowest);
      const reserved = await schedule({ networks, account }, async () => {
        rethrowKnownRejection(narrowest);
        const reserved = await store.reserve(counters, window.endsAt);
        const full = counters.find(({ key }) => !reserved.includes(key));
        if (!full) return reserved;
        if (reserved.length > 0) await release(reserved);
        const rejection = { limit: "registrations" as const, quota: full.limit, endsAtMs: window.endsAt.getTime() };
        rejections.set(narrowest, rejection);
        throw throttled(rejection);
      });
      return register().catch(async (error: unknown) => {
        if (error instanceof Problem && error.slug === "overloaded") await release(reserved).catch(() => {});
        throw error;
      });
    },
  };
}
