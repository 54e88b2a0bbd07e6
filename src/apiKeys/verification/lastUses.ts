/** When and from which network each secret of an API key was last used. Collected in memory, and written once a minute. */
import type { Network } from "../../identifiers.ts";
import { startPoller } from "../../lib/poller.ts";
import type { ApiKeyDigest } from "../format.ts";
import type { LastUse, VerificationStore } from "./storeTypes.ts";

const minuteMs = 60_000;
const retry = { firstMs: 5_000, maxMs: minuteMs };
/** Of a statement, which has to end within a second. */
const batchSize = 5_000;
/** While the database is away, at most this number of uses is kept. About 150 bytes each. */
const maxPending = 200_000;

export type LastUses = {
  /** Keeps the use until the next write. Does not wait. */
  record(digest: ApiKeyDigest, network: Network | null, at: Date): void;
  /** Writes what was recorded, and stops. */
  close(): Promise<void>;
};

type Parts = {
  store: Pick<VerificationStore, "recordUses">;
  /** Receives errors of the store. Must not throw. */
  onError: (error: unknown) => void;
};

export function collectLastUses({ store, onError }: Parts): LastUses {
  const pending = new Map<ApiKeyDigest, LastUse>();

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
    record(digest, network, at) {
      if (pending.size >= maxPending && !pending.has(digest)) return;
      pending.set(digest, { digest, network, at });
    },
    close() {
      poller.run().catch(() => {}); // `onError` has received it
      return poller.close();
    },
  };
}
