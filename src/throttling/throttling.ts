/**
 * Limits on wrong passwords and registrations, shared by all instances. Names without a user are counted like users.
 *
 * An attempt is counted before the password is checked, and no longer counts if the password is right. So the limits also hold
 * for concurrent attempts. A rejected attempt does not look up the user, and does the same work for every name. The counters are
 * in counters.ts, the SQL in store.ts. SECURITY.md has a table of the limits and their costs.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { UserId } from "../identifiers.ts";
import type { Networks } from "../networks.ts";
import { queueTimeoutMs, type Schedule } from "../passwords/hashing.ts";
import { Problem } from "../problems/problems.ts";
import {
  type Client,
  type ClientKeys,
  findRejection,
  keysOfClient,
  type Rejection,
  signInCounters,
  windowAt,
} from "./counters.ts";
import { expiringMap } from "./expiringMap.ts";
import type { ThrottleKeys } from "./keys.ts";
import { failuresExpireSeconds, type Limits, limitOfNetwork, Throttled, withoutReserve } from "./limits.ts";
import type { Account, AccountReference, AttemptStore, StartedAttempt } from "./storeTypes.ts";

/**
 * Checks the password of an account.
 * @param account `undefined` if there is no such user
 * @returns `undefined` if the password is wrong
 */
export type PasswordCheck<Result> = (account: Account | undefined, deadline: number) => Promise<Result | undefined>;

export type CheckedPassword<Result> = {
  account: Account | undefined;
  /** The user's id, if the account is blocked: like that of an unknown user, its password is always wrong. */
  blockedId?: UserId | undefined;
  /** `undefined` if the password is wrong. */
  result: Result | undefined;
  /** The token epoch after the check. `undefined` if the password was wrong or replaced, or the user was deleted. */
  currentEpoch: number | undefined;
  /** The start time of the server that the account was read from; `undefined` if it is unknown. */
  server?: string;
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
   * Registers a user within the limits of the client's networks. `register` schedules its own work.
   * @throws {Throttled} and the problem `overloaded`, after which the registration does not count
   */
  registration<Result>(client: Client, register: () => Promise<Result>): Promise<Result>;
  /** Counts a client of OAuth that no administrator has registered. @throws {Throttled} */
  newClient(networks: Networks): Promise<void>;
  /** Counts a refused client of OAuth. When the limit is reached, no query is made. @throws {Throttled} */
  refusedClient(networks: Networks): Promise<void>;
};

/** No limits: for benchmarks. It does not notice a password that is replaced during the check. */
export const noThrottle = (
  schedule: Schedule,
  findAccount: (reference: AccountReference) => Promise<Account | undefined>,
): Throttle => ({
  checkPassword: ({ account: name, networks, reference }, check) =>
    schedule({ account: name, networks }, async (deadline) => {
      const account = await findAccount(reference);
      return { account, result: await check(account, deadline), currentEpoch: account?.tokenEpoch };
    }),
  registration: (_client, register) => register(),
  newClient: async () => {},
  refusedClient: async () => {},
});

/** The delay before the next try of an attempt that may be admitted when the attempts in progress have ended. */
const retryDelayMs = 100;
/**
 * An attempt that meets the limit of consecutive failures this often is rejected. The count does not show how many of the
 * failures are attempts in progress.
 */
const maxTriesForFailures = 3;

const busy = Symbol("attempts in progress have reached a limit");

export type ThrottleParts = {
  limits: Limits;
  store: AttemptStore;
  keys: ThrottleKeys;
  schedule: Schedule;
  /** The clock that all instances share, so that their windows are the same. */
  clock: () => Date;
};

type Attempt = Client & { reference: AccountReference };
type Try = { number: number; deadline: number };

export function createThrottle({ limits, store, keys, schedule, clock }: ThrottleParts): Throttle {
  /** By account, narrowest network and window. A flood of rejected attempts makes no query. */
  const rejections = expiringMap<Rejection>();
  /** Accounts that reject unknown networks. Attempts on such an account need not wait for each other. */
  const closedAccounts = expiringMap<true>();

  const throttled = ({ limit, quota, endsAtMs }: Rejection): Throttled =>
    new Throttled(limit, quota, Math.max(1, Math.ceil((endsAtMs - clock().getTime()) / 1000)));
  const rethrowKnownRejection = (key: string): void => {
    const rejection = rejections.get(key);
    if (rejection) throw throttled(rejection);
  };

  /** @throws {Throttled} */
  async function tryPassword<Result>(
    attempt: Attempt,
    clientKeys: ClientKeys,
    { number, deadline }: Try,
    check: PasswordCheck<Result>,
  ): Promise<CheckedPassword<Result> | typeof busy> {
    const { account: accountKey, failureKeys, pairs, knownNetworkKeys } = clientKeys;
    const now = clock();
    const { number: window, endsAt } = windowAt(now);
    const rejectionKey = `${pairs[0]}.${window}`;
    rethrowKnownRejection(rejectionKey);
    const counters = signInCounters(limits, clientKeys, window);
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
    const { isAdmitted, isBelowLimits, isKnownNetwork, reserved } = started;
    if (!isBelowLimits) {
      const countsFailuresInProgress = number >= maxTriesForFailures || closedAccounts.get(accountKey) === true;
      const windowEndsAt = windowAt(clock()).endsAt;
      const rejection = findRejection(limits, started, { counters, windowEndsAt, countsFailuresInProgress });
      if (!rejection) return busy;
      rejections.set(rejectionKey, rejection);
      const closesAccount = rejection.limit === "account" || rejection.limit === "consecutive";
      if (!isKnownNetwork && closesAccount) closedAccounts.set(accountKey, true);
      throw throttled(rejection);
    }
    if (!isAdmitted) {
      // A concurrent attempt reached a limit first.
      if (reserved.length > 0) await store.release({ counters: reserved, failureKeys: [], outcome: "unchecked" });
      return busy;
    }
    return checkAdmitted({ attempt, clientKeys, started }, () => check(started.account, deadline));
  }

  /** Checks the password of an admitted attempt, and updates the counts with the outcome. */
  async function checkAdmitted<Result>(
    { attempt, clientKeys, started }: { attempt: Attempt; clientKeys: ClientKeys; started: StartedAttempt },
    check: () => Promise<Result | undefined>,
  ): Promise<CheckedPassword<Result>> {
    const { account: accountKey, failureKeys, knownNetworkKeys } = clientKeys;
    const { account, blockedId, isRecentlyUsedNetwork, reserved, server } = started;
    let result: Result | undefined;
    try {
      result = await check();
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
      return { account, blockedId, result: undefined, currentEpoch: undefined, server };
    }
    const { id: userId, tokenEpoch: epoch } = account;
    const currentEpoch = await store.succeed({ counters: reserved, failureKeys, userId, epoch });
    const [key] = knownNetworkKeys;
    if (currentEpoch !== undefined && key !== undefined && !isRecentlyUsedNetwork) {
      // A network that cannot be remembered does not fail the sign-in.
      await store.rememberNetwork({ userId, epoch, network: attempt.networks[0], key }).catch(() => {});
    }
    return { account, result, currentEpoch, server };
  }

  const release = (reserved: string[]) => store.release({ counters: reserved, failureKeys: [], outcome: "unchecked" });

  /** Counts in all networks of a client, or in none of them. */
  function reservationIn(limit: "registrations" | "clients" | "client-registrations", networks: Networks) {
    const window = windowAt(clock());
    const counters = networks.map((network, width) => ({
      key: `${keys.network(network)}.${limit}.${window.number}`,
      limit: limitOfNetwork(limits[limit], width),
    }));
    const narrowest = counters[0]?.key ?? "";
    return {
      rethrowKnownRejection: () => rethrowKnownRejection(narrowest),
      /** @returns the keys of the counters. @throws {Throttled} */
      async reserve(): Promise<string[]> {
        rethrowKnownRejection(narrowest);
        const reserved = await store.reserve(counters, window.endsAt);
        const full = counters.find(({ key }) => !reserved.includes(key));
        if (!full) return reserved;
        if (reserved.length > 0) await release(reserved);
        const rejection = { limit, quota: full.limit, endsAtMs: window.endsAt.getTime() };
        rejections.set(narrowest, rejection);
        throw throttled(rejection);
      },
    };
  }

  return {
    async checkPassword(attempt, check) {
      const deadline = performance.now() + queueTimeoutMs;
      const clientKeys = keysOfClient(keys, attempt);
      const { account, pairs } = clientKeys;
      const [pair] = pairs;
      for (let number = 1; ; number += 1) {
        // A known rejection needs neither a turn nor a query.
        rethrowKnownRejection(`${pair}.${windowAt(clock()).number}`);
        // One attempt at a time. Otherwise concurrent right passwords could reach a limit, although none of them counts.
        const lane = closedAccounts.get(account) ? pair : account;
        const checked = await schedule({ networks: attempt.networks, account, lane, deadline }, () =>
          tryPassword(attempt, clientKeys, { number, deadline }, check),
        );
        if (checked !== busy) return checked;
        await sleep(retryDelayMs);
      }
    },

    async registration({ account, networks }, register) {
      const reservation = reservationIn("registrations", networks);
      reservation.rethrowKnownRejection();
      const reserved = await schedule({ networks, account }, reservation.reserve);
      return register().catch(async (error: unknown) => {
        if (error instanceof Problem && error.slug === "overloaded") await release(reserved).catch(() => {});
        throw error;
      });
    },

    async newClient(networks) {
      await reservationIn("client-registrations", networks).reserve();
    },

    async refusedClient(networks) {
      await reservationIn("clients", networks).reserve();
    },
  };
}
