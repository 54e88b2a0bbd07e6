/**
 * The revocation list, which revokes tokens before they expire. Every instance keeps the list in memory, and reads new entries
 * each second and at each notification. So the check of a token takes no query, and a revocation takes effect everywhere within a
 * second.
 */
import type { UserId } from "../identifiers.ts";
import { startPoller } from "../lib/poller.ts";
import type { TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";
import { runOutsideRequest } from "../requestContext.ts";
import { createRevocationMemory } from "./memory.ts";
import { createRecentEntries, type RecentEntries } from "./recentEntries.ts";
import type { ReadPart, Revocation, RevocationStore } from "./storeTypes.ts";

export type { Revocation } from "./storeTypes.ts";

/**
 * The subject of all tokens. The transaction that revokes it raises the epoch of every user. So one entry revokes all tokens, and
 * tokens that are issued later are valid.
 */
export const everybody = "everybody";

/** The largest `integer` of Postgres, which no user's epoch reaches. As a minimum epoch, it revokes all tokens of a subject. */
export const maxEpoch = 2_147_483_647;

/** More than the clocks of an instance and the database differ, and more than the time between a decision and its commit. */
export const clockMarginSeconds = 300;

/**
 * Revokes all tokens of a deleted user on this instance for an hour. By then the instance has read the entry that the deletion
 * stored, or it rejects all tokens: `REVOCATION_STALENESS_SECONDS` is at most 300.
 * @param now the time of the database, by which entries expire
 */
export const deletedUser = (userId: UserId, now: Date): Revocation => ({
  subject: userId,
  minimumEpoch: maxEpoch,
  expiresAt: new Date(now.getTime() + 3_600_000),
});

/** What the list decides about. The token of a client has no user and no session. */
type RevocableToken = Pick<TokenPrincipal, "tokenId" | "keyId" | "epoch"> & {
  epochs?: TokenPrincipal["epochs"];
  sessionId?: TokenPrincipal["sessionId"];
  userId?: TokenPrincipal["userId"];
};

export type Revocations = {
  /** Enforces an entry on this instance at once. The entry must be in the database already. */
  apply(entry: Revocation): void;
  /**
   * @throws {Problem} `token-revoked`; `revocations-stale` if the list has not been read completely for longer than
   * `maxStalenessMs` or since `reload`, so this instance cannot tell
   */
  check(principal: RevocableToken): void;
  /** @throws {Problem} `revocations-stale`, as `check` does: for credentials and rights that are cached (cache.ts) */
  requireCurrent(): void;
  /**
   * Calls the listener with the subject of each entry that is read or applied, and with `undefined` if entries may have been
   * missed.
   */
  onEntry(listener: (subject: string | undefined) => void): void;
  /** Revokes a token: stores the entry with its audit event, and enforces it. @param userId `null` for the token of a client */
  revoke(entry: Revocation, userId: UserId | null): Promise<void>;
  /** Reads new entries now. */
  wake(): void;
  /**
   * Like `wake`, and waits for that read, which begins after this call. Concurrent calls share it.
   * @throws {Problem} `database-unavailable`; `revocations-stale` if it takes longer than two seconds
   */
  readNow(): Promise<void>;
  /** What was read lately, and how far the list was read. */
  recent: Pick<RecentEntries, "since" | "head">;
  /** Calls the listener after each read that has found entries, or that may have missed some. */
  onRead(listener: () => void): void;
  /** Whether the server that the list was read from can still commit. @throws {Problem} `database-unavailable` */
  isCurrent(): Promise<boolean>;
  /** The time at which the list was last known to be complete (`performance.now()`). */
  completeAtMs(): number;
  /**
   * Reads all entries now, and regards the list as incomplete until then. After a step of the clock, some entries may have been
   * removed too early.
   */
  reload(): void;
  /** The time since the list was known to be complete, in seconds. */
  stalenessSeconds(): number;
  /** The epoch that tokens of clients get, so that the next entry about everybody revokes them. */
  epochOfEverybody(): number;
  /** The number of subjects in memory. */
  size(): number;
  close(): Promise<void>;
};

type RevocationOptions = {
  store: RevocationStore;
  /** How long tokens are still accepted while the list may be incomplete. */
  maxStalenessMs: number;
  /** Decides when an entry has expired. The staleness does not depend on it. */
  clock: () => Date;
  onError: (error: unknown) => void;
};

const intervalMs = 1_000;
/** How long `readNow` waits. */
const readTimeoutMs = 2_000;

/** After a longer gap, entries may be missing. Far below `clockMarginSeconds`, the minimum time that an entry is kept. */
export const maxReadGapMs = 60_000;

/**
 * Loads the list, and keeps it up to date until `close`.
 * @throws {Problem} `database-unavailable`
 */
export async function watchRevocations(options: RevocationOptions): Promise<Revocations> {
  const { store, maxStalenessMs, clock, onError } = options;
  const memory = createRevocationMemory();
  const listeners: ((subject: string | undefined) => void)[] = [];
  const add = (entry: Revocation): void => {
    memory.add(entry);
    for (const listener of listeners) listener(entry.subject);
  };
  const addAll = (entries: readonly Revocation[]) => entries.forEach(add);
  const recent = createRecentEntries();
  const readListeners: (() => void)[] = [];

  /** When the list was last known to be complete (`performance.now()`). */
  let completeAtMs = performance.now();
  const firstReadAtMs = clock().getTime();
  let position = await store.readAll(addAll);
  recent.restart(position, firstReadAtMs);
  let readAtMs = completeAtMs;
  let mustReload = false;
  /** The number of calls of `reload`, and the number at the last complete read. In between, entries may be missing. */
  let reloads = 0;
  let completeReloads = 0;

  // The list was complete if its server can still commit afterwards. At most one check runs at a time, and one each second.
  let serverCheck: Promise<void> | undefined;
  let serverCheckStartedMs = -Infinity;
  const checkServer = (readAtMs: number, readReloads: number): void => {
    const nowMs = performance.now();
    if (serverCheck !== undefined || nowMs - serverCheckStartedMs < 0.9 * intervalMs) return;
    serverCheckStartedMs = nowMs;
    serverCheck = store
      .isCurrent(position)
      .then((isCurrent) => {
        if (!isCurrent) return;
        completeAtMs = readAtMs;
        completeReloads = readReloads;
      }, onError)
      .finally(() => {
        serverCheck = undefined;
        if (readReloads !== reloads) poller.wake(); // the reload's check had to wait for this one
      });
  };

  const read = async (): Promise<void> => {
    const startedMs = performance.now();
    const atMs = clock().getTime();
    const readReloads = reloads;
    const readsAll = mustReload;
    mustReload = false;
    let isNews = false;
    // After a long pause, entries may have been removed before they were read.
    const hasPaused = () => performance.now() - readAtMs > maxReadGapMs;
    const onPart = (part: ReadPart) => {
      addAll(part.entries);
      if (!hasPaused()) recent.append(part, atMs);
      isNews ||= part.entries.length > 0;
    };
    try {
      const next = readsAll ? undefined : await store.readSince(position, onPart);
      position = next ?? (await store.readAll(addAll));
      // Another server may lack what was read.
      const isGap = next === undefined || hasPaused();
      if (isGap) {
        for (const listener of listeners) listener(undefined);
        recent.restart(position, atMs);
      }
      readAtMs = performance.now();
      if (isNews || isGap) for (const listener of readListeners) listener();
    } catch (error) {
      mustReload ||= readsAll;
      throw error;
    } finally {
      memory.removeExpired(clock());
    }
    checkServer(startedMs, readReloads);
  };
  const poller = startPoller({ task: read, intervalMs, retry: { firstMs: 250, maxMs: intervalMs }, onError });

  const requireCurrent = (): void => {
    const isIncomplete = completeReloads !== reloads;
    if (isIncomplete || performance.now() - completeAtMs > maxStalenessMs) throw new Problem("revocations-stale");
  };

  return {
    apply: add,
    wake: poller.wake,
    readNow: () => withTimeout(poller.run()),
    recent,
    onRead: (listener) => void readListeners.push(listener),
    isCurrent: () => runOutsideRequest(() => store.isCurrent(position)),
    completeAtMs: () => completeAtMs,
    reload() {
      mustReload = true;
      reloads += 1;
      serverCheckStartedMs = -Infinity;
      poller.wake();
    },
    requireCurrent,
    onEntry: (listener) => void listeners.push(listener),
    check({ tokenId, sessionId, userId, keyId, epoch, epochs }) {
      for (const subject of [tokenId, sessionId, userId, keyId, everybody]) {
        if (subject !== undefined && epoch < memory.minimumEpoch(subject)) throw new Problem("token-revoked");
      }
      for (const subject in epochs) {
        if ((epochs[subject] ?? 0) < memory.minimumEpoch(subject)) throw new Problem("token-revoked");
      }
      requireCurrent();
    },
    async revoke(entry, userId) {
      await store.insert(entry, userId);
      add(entry);
    },
    stalenessSeconds: () => (performance.now() - completeAtMs) / 1000,
    epochOfEverybody: () => memory.minimumEpoch(everybody),
    size: memory.size,
    async close() {
      await Promise.all([poller.close(), serverCheck]);
    },
  };
}

async function withTimeout(reading: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timedOut = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Problem("revocations-stale")), readTimeoutMs);
  });
  try {
    await Promise.race([reading, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
