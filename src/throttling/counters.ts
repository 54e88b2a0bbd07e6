/** The counters of sign-in attempts: their keys, their limits, and the limit that rejects an attempt. */
import { type Networks, unknownNetwork } from "../networks.ts";
import type { ThrottleKeys } from "./keys.ts";
import { type Limit, type Limits, limitOfNetwork, windowSeconds, withoutReserve } from "./limits.ts";
import type { Counter, StartedAttempt } from "./storeTypes.ts";

/** The account and the networks of a sign-in or a registration. */
export type Client = {
  /** The username, whether or not there is such a user. */
  account: string;
  networks: Networks;
};

export type LimitedCounter = Counter & { limit: Limit; quota: number };

/** The limit that was reached, and when it allows another attempt. */
export type Rejection = { limit: Limit; quota: number; endsAtMs: number };

/** The counting window that contains a time. */
export function windowAt(now: Date): { number: number; endsAt: Date } {
  const number = Math.floor(now.getTime() / 1000 / windowSeconds);
  return { number, endsAt: new Date((number + 1) * windowSeconds * 1000) };
}

export type ClientKeys = ReturnType<typeof keysOfClient>;

export function keysOfClient(keys: ThrottleKeys, { account, networks }: Client) {
  const failureKeys = keys.accounts(account);
  const networkKeys = networks.map(keys.network);
  return {
    account: failureKeys[0],
    failureKeys,
    networkKeys,
    /** One key for the account and each network, the narrowest first. */
    pairs: networkKeys.map((key) => `${failureKeys[0]}.${key}`) as [string, ...string[]],
    knownNetworkKeys: networks[0] === unknownNetwork ? [] : keys.knownNetworks(account, networks[0]),
  };
}

/**
 * The counters that a sign-in attempt increments.
 * @param window the number of the window. Every key ends with it, so that no counter spans two windows.
 */
export function signInCounters(
  limits: Limits,
  { account, networkKeys, pairs }: ClientKeys,
  window: number,
): LimitedCounter[] {
  const counter = (limit: keyof Limits, key: string, quota = limits[limit]) => ({
    limit,
    key: `${key}.${window}`,
    quota,
  });
  return [
    ...pairs.map((pair, width) => {
      const quota = limitOfNetwork(limits["account-address"], width);
      // An attempt from a known network does not count for the wider networks.
      const limitIfKnown = width === 0 ? quota : 0;
      return { ...counter("account-address", `${pair}.account-address`, quota), limitIfKnown, limitIfUnknown: quota };
    }),
    // All known networks share one counter, because which networks are known can change within a window.
    { ...counter("account", `${account}.familiar`), limitIfKnown: limits.account, limitIfUnknown: 0 },
    { ...counter("account", `${account}.account`), limitIfKnown: 0, limitIfUnknown: limits.account },
    ...networkKeys.map((key, width) => {
      const quota = limitOfNetwork(limits.address, width);
      const limitIfUnknown = withoutReserve(quota);
      return { ...counter("address", `${key}.address`, quota), limitIfKnown: quota, limitIfUnknown };
    }),
  ];
}

/**
 * Finds the limit that rejects an attempt which is not below all limits.
 * @param options.countsFailuresInProgress whether the limit of consecutive failures rejects the attempt, although some of
 *   these failures may be attempts in progress
 * @returns `undefined` if the attempt may be admitted when the attempts in progress have ended
 */
export function findRejection(
  limits: Limits,
  { isKnownNetwork, failures, failuresExpireAtMs, counts }: StartedAttempt,
  options: { counters: LimitedCounter[]; windowEndsAt: Date; countsFailuresInProgress: boolean },
): Rejection | undefined {
  const maxFailures = isKnownNetwork ? limits.consecutive : withoutReserve(limits.consecutive);
  if (failures >= maxFailures) {
    if (!options.countsFailuresInProgress) return undefined;
    return { limit: "consecutive", quota: limits.consecutive, endsAtMs: failuresExpireAtMs };
  }
  for (const { key, limit, quota, limitIfKnown, limitIfUnknown } of options.counters) {
    const max = isKnownNetwork ? limitIfKnown : limitIfUnknown;
    const { points, inProgress } = counts[key] ?? { points: 0, inProgress: 0 };
    if (max === 0 || points < max) continue;
    return points - inProgress >= max ? { limit, quota, endsAtMs: options.windowEndsAt.getTime() } : undefined;
  }
  return undefined;
}
