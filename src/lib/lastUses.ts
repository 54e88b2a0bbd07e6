/** When and from which network each secret was last used. Collected in memory, and written once a minute. */
import type { Network } from "../identifiers.ts";
import { startPoller } from "./poller.ts";
import type { SecretDigest } from "./secretText.ts";

const minuteMs = 60_000;
const retry = { firstMs: 5_000, maxMs: minuteMs };
/** Of a statement, which has to end within a second. */
const batchSize = 5_000;
/** While the database is away, at most this number of uses is kept. About 150 bytes each. */
const maxPending = 200_000;

export type LastUse = { digest: SecretDigest; at: Date; network: Network | null };

/** Each method may throw the problem `database-unavailable`. */
export type LastUseStore = {
  /** Records uses, unless a use in the same minute or later is recorded. Does not wait for locked rows. */
  recordUses(uses: readonly LastUse[]): Promise<void>;
};

export type LastUses = {
  /**
   * Keeps the use until the next write. Does not wait.
   * @param at to the minute
   * @param networkOfUse is called for the first use of a minute, which is the one that is kept
   */
  record(digest: SecretDigest, at: Date, networkOfUse: () => Network | null): void;
  /** Writes what was recorded, and stops. */
  close(): Promise<void>;
};

type Parts = {
  store: LastUseStore;
  /** Receives errors of the store. Must not throw. */
  onError: (error: unknown) => void;
};

export function collectLastUses({ store, onError }: Parts): LastUses {
  const pending = new Map<SecretDigest, LastUse>();

  const write = async (): Promise<void> => {
    while (pending.size > 0) {
      const batch = [...pending.values()].slice(0, batchSize);
      await store.recordUses(batch);
      // A use that was recorded meanwhile stays.
      for (const use of batch) if (pending.get(use.digest) === use) pending.delete(use.digest);
    }
  };
  const poller = startPoller({ task: write, intervalMs: minuteMs, retry, onError });

  return {
    record(digest, at, networkOfUse) {
      const known = pending.get(digest);
      if (known?.at.getTime() === at.getTime() || (!known && pending.size >= maxPending)) return;
      pending.set(digest, { digest, at, network: networkOfUse() });
    },
    close() {
      poller.run().catch(() => {}); // `onError` has received it
      return poller.close();
    },
  };
}
