/**
 * The revocation list: what ends tokens before they expire. Every instance keeps the list in memory and reads what is new each
 * second and at each notification. So checking a token takes no query, and a revocation is known everywhere within a second.
 */
import type { RevocationSubject, UserId } from "../identifiers.ts";
import { startPoller } from "../lib/poller.ts";
import type { TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { createRevocationMemory } from "./memory.ts";

/** Revokes the tokens of a subject (a `jti`, session, user, `kid` or `everybody`) with an epoch below `minimumEpoch`. */
export type Revocation = {
  subject: RevocationSubject;
  minimumEpoch: number;
  /** When the last token that the entry revokes has expired. The entry can be removed then. */
  expiresAt: Date;
};

/**
 * The subject of all tokens. The transaction that revokes it gives every user a higher epoch, so that one entry ends all
 * tokens, and tokens that are issued afterwards work.
 */
export const everybody = "everybody";

/** Above the epoch of every token: as a minimum it revokes all tokens of a subject. The largest `integer` of Postgres. */
export const maxEpoch = 2_147_483_647;

/** The clocks of an instance and of the database differ by less, and so long may pass between a decision and its commit. */
export const clockMarginSeconds = 300;

/**
 * Revokes all tokens of a deleted user on this instance, until it has read the entry that the deletion has stored. By then
 * it has read the list, or it rejects all tokens: `REVOCATION_STALENESS_SECONDS` is at most 300.
 */
export const deletedUser = (userId: UserId): Revocation => ({
  subject: userId,
  minimumEpoch: maxEpoch,
  expiresAt: new Date(Date.now() + 3_600_000),
});

export type RevocationStore = {
  /** Reads all entries that have not expired, in pages. @returns a cursor for `readSince` */
  readAll(onPage: (entries: Revocation[]) => void): Promise<string>;
  /**
   * Reads, in pages, the entries that were not visible at the cursor.
   * @returns the next cursor; `undefined` if the server is not the one that the cursor belongs to
   */
  readSince(cursor: string, onPage: (entries: Revocation[]) => void): Promise<string | undefined>;
  /**
   * Whether the server of the cursor can still commit. A standby, or a primary that was demoted or cut off, cannot, and does
   * not see what is revoked elsewhere.
   */
  isCurrent(cursor: string): Promise<boolean>;
  /** Stores an entry. */
  insert(entry: Revocation): Promise<void>;
};

export type Revocations = {
  /** Enforces an entry on this instance at once. The entry must be in the database already. */
  apply(entry: Revocation): void;
  /**
   * @throws {Problem} `token-revoked`; `revocations-stale` if the list has not been read completely for longer than
   * `maxStalenessMs`, so that this instance cannot tell
   */
  check(principal: Pick<TokenPrincipal, "tokenId" | "sessionId" | "userId" | "keyId" | "epoch">): void;
  /** Stores an entry and enforces it. */
  revoke(entry: Revocation): Promise<void>;
  /** Reads new entries now. */
  wake(): void;
  /** Reads all entries now. For a clock that was set back: some may have been removed too early. */
  reload(): void;
  /** The time since the list was known to be complete, in seconds. */
  stalenessSeconds(): number;
  /** The number of subjects in memory. */
  size(): number;
  close(): Promise<void>;
};

type RevocationOptions = {
  store: RevocationStore;
  /** How long tokens are accepted while it is not known whether the list is complete. */
  maxStalenessMs: number;
  /** Decides when an entry has expired. The staleness does not depend on it. */
  clock: () => Date;
  onError: (error: unknown) => void;
};

const intervalMs = 1_000;

/**
 * Loads the list, and keeps it up to date until `close`.
 * @throws {Problem} `database-unavailable`: without the list no token can be checked
 */
export async function watchRevocations(options: RevocationOptions): Promise<Revocations> {
  const { store, maxStalenessMs, clock, onError } = options;
  const memory = createRevocationMemory();
  const addAll = (entries: Revocation[]) => entries.forEach(memory.add);

  /** When the list was last known to be complete (`performance.now()`). */
  let completeAtMs = performance.now();
  let cursor = await store.readAll(addAll);
  let mustReload = false;

  // The list is complete if its server can still commit after it was read. One check at a time, and one each second.
  let proof: Promise<void> | undefined;
  let proofStartedMs = -Infinity;
  const prove = (readAtMs: number): void => {
    const nowMs = performance.now();
    if (proof !== undefined || nowMs - proofStartedMs < 0.9 * intervalMs) return;
    proofStartedMs = nowMs;
    proof = store
      .isCurrent(cursor)
      .then((isCurrent) => {
        if (isCurrent) completeAtMs = readAtMs;
      }, onError)
      .finally(() => {
        proof = undefined;
      });
  };

  const read = async (): Promise<void> => {
    const startedMs = performance.now();
    const readsAll = mustReload;
    mustReload = false;
    try {
      const next = readsAll ? undefined : await store.readSince(cursor, addAll);
      cursor = next ?? (await store.readAll(addAll));
    } catch (error) {
      mustReload ||= readsAll;
      throw error;
    } finally {
      memory.removeExpired(clock());
    }
    prove(startedMs);
  };
  const poller = startPoller({ task: read, intervalMs, retry: { firstMs: 250, maxMs: intervalMs }, onError });

  return {
    apply: memory.add,
    wake: poller.wake,
    reload() {
      mustReload = true;
      poller.wake();
    },
    check({ tokenId, sessionId, userId, keyId, epoch }) {
      for (const subject of [tokenId, sessionId, userId, keyId, everybody]) {
        if (subject !== undefined && epoch < memory.minimumEpoch(subject)) throw new Problem("token-revoked");
      }
      if (performance.now() - completeAtMs > maxStalenessMs) throw new Problem("revocations-stale");
    },
    async revoke(entry) {
      await store.insert(entry);
      memory.add(entry);
    },
    stalenessSeconds: () => (performance.now() - completeAtMs) / 1000,
    size: memory.size,
    async close() {
      await Promise.all([poller.close(), proof]);
    },
  };
}
