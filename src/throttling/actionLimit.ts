/** Rate limits of actions that need no password, such as entering a user code. All instances share the counters. */
import type { Audit } from "../audit/audit.ts";
import type { UserId } from "../identifiers.ts";
import { clientNetworks } from "../requestContext.ts";
import { windowAt } from "./counters.ts";
import type { ThrottleKeys } from "./keys.ts";
import { type Limit, limitOfNetwork, Throttled } from "./limits.ts";
import type { AttemptStore } from "./storeTypes.ts";

/**
 * Counts an action of the client's networks, and of a user if one is given, before it happens.
 * @returns a function after which the action no longer counts
 * @throws {Throttled} if a limit is reached. Then nothing is counted
 */
export type ActionLimit = (userId?: UserId) => Promise<() => Promise<void>>;

type Parts = {
  limit: Limit;
  /** Actions in a window, of a network and of a user. */
  quotas: { network: number; user: number };
  store: Pick<AttemptStore, "reserve" | "release">;
  keys: ThrottleKeys;
  clock: () => Date;
  audit: Audit;
};

/** With `THROTTLE=off`. */
export const noActionLimit: ActionLimit = async () => async () => {};

export function createActionLimit({ limit, quotas, store, keys, clock, audit }: Parts): ActionLimit {
  return async (userId) => {
    const now = clock();
    const window = windowAt(now);
    const counters = [
      ...clientNetworks().map((network, width) => ({
        key: `${keys.network(network)}.${limit}.${window.number}`,
        limit: limitOfNetwork(quotas.network, width),
      })),
      ...(userId ? [{ key: `${keys.accounts(userId)[0]}.${limit}.${window.number}`, limit: quotas.user }] : []),
    ];
    const reserved = await store.reserve(counters, window.endsAt);
    const release = async (): Promise<void> => {
      if (reserved.length > 0) await store.release({ counters: reserved, failureKeys: [], outcome: "unchecked" });
    };
    const full = counters.find(({ key }) => !reserved.includes(key));
    if (!full) return release;
    await release();
    audit("throttled", { userId, limit });
    const seconds = Math.max(1, Math.ceil((window.endsAt.getTime() - now.getTime()) / 1000));
    throw new Throttled(limit, full.limit, seconds);
  };
}
