/**
 * What ends tokens before their time: a list that every instance holds in memory and follows, so
 * that checking a token costs no query and a revocation is known everywhere within a second.
 */
import type { RevocationSubject, UserId } from "../identifiers.ts";
import type { TokenPrincipal } from "../principal.ts";
import { Problem } from "../problems/problems.ts";

/** Tokens of the subject (a `jti`, session, user or `kid`, or `everybody`) with an epoch below `minimumEpoch` are dead. */
export type Revocation = {
  subject: RevocationSubject;
  minimumEpoch: number;
  /** When the last token that it could concern has expired. */
  expiresAt: Date;
};

/**
 * The subject of all tokens. Whoever revokes these gives every user a higher epoch in the same transaction, so that
 * one entry ends them all, and a token that is issued right afterwards works.
 */
export const everybody = "everybody";

/** Above every epoch: ends all tokens of a subject, for good. The largest `integer` of Postgres. */
export const everyEpoch = 2_147_483_647;

/**
 * How long a revocation must be kept of which it is not known what tokens it concerns: as long as any setting lets a
 * token live, and an hour for sign-ins that were under way and for clocks that differ.
 */
export const longestRevocationSeconds = 86_400 + 3_600;

/** What a deletion of the user has put into the list; to be put into force before this instance has followed. */
export const everyTokenOf = (userId: UserId): Revocation => ({
  subject: userId,
  minimumEpoch: everyEpoch,
  expiresAt: new Date(Date.now() + longestRevocationSeconds * 1000),
});

/** An instance's clock and the database's may differ by this. */
export const clockSlackSeconds = 300;

export type RevocationStore = {
  /** All live entries, in pages, and where to go on following. */
  readAll(take: (entries: Revocation[]) => void): Promise<string>;
  /**
   * The live entries that were not visible at the cursor, in pages.
   * @returns the next cursor; `undefined` where the cursor means nothing to the server any more
   */
  readSince(cursor: string, take: (entries: Revocation[]) => void): Promise<string | undefined>;
  /**
   * Whether the server that the cursor is of can still commit. A standby, or a primary that was demoted or cut off,
   * cannot, and does not see what is revoked elsewhere.
   */
  isCurrent(cursor: string): Promise<boolean>;
  /** Keeps an entry. It is in force everywhere once this has returned and the others have followed. */
  insert(entry: Revocation): Promise<void>;
};

export type Revocations = {
  /** Puts an entry that the database has into force here, at once. */
  apply(entry: Revocation): void;
  /**
   * @throws {Problem} `token-revoked`; `revocations-stale` where this instance could not follow for
   * longer than the bound and so cannot tell
   */
  check(principal: Pick<TokenPrincipal, "tokenId" | "sessionId" | "userId" | "keyId" | "epoch">): void;
  /** Keeps an entry and puts it into force. */
  revoke(entry: Revocation): Promise<void>;
  /** Looks now rather than at the end of the second. */
  wake(): void;
  /** Looks now at all live entries anew: the clock was wrong, and some may have been forgotten. */
  reload(): void;
  /** How long ago the list was known to be complete, in seconds. */
  stalenessSeconds(): number;
  /** How many subjects are held. */
  size(): number;
  close(): Promise<void>;
};

const followEveryMs = 1_000;
const minuteMs = 60_000;

/**
 * Loads the list and follows it until `close`.
 * @param boundMs how long a token may be accepted on what was last known.
 * @param clock tells when an entry has expired; how stale the list is does not depend on it.
 * @throws {Problem} `database-unavailable`: without the list no token could be judged.
 */
export async function followRevocations(
  store: RevocationStore,
  boundMs: number,
  clock: () => Date,
  warn: (error: unknown) => void,
): Promise<Revocations> {
  const held = new Map<RevocationSubject, { minimumEpoch: number; expiryMinute: number }>();
  // Which subjects go in which minute, so that forgetting a million costs no walk over all of them.
  const expiring = new Map<number, RevocationSubject[]>();

  const apply = ({ subject, minimumEpoch, expiresAt }: Revocation): void => {
    const expiryMinute = Math.ceil(expiresAt.getTime() / minuteMs);
    const known = held.get(subject);
    if (known && known.minimumEpoch >= minimumEpoch && known.expiryMinute >= expiryMinute) return;
    held.set(subject, {
      minimumEpoch: Math.max(minimumEpoch, known?.minimumEpoch ?? 0),
      expiryMinute: Math.max(expiryMinute, known?.expiryMinute ?? 0),
    });
    const leaving = expiring.get(expiryMinute);
    if (leaving) leaving.push(subject);
    else expiring.set(expiryMinute, [subject]);
  };
  const forgetExpired = (): void => {
    const now = clock().getTime() / minuteMs;
    for (const [minute, subjects] of expiring) {
      if (minute > now) continue;
      expiring.delete(minute);
      for (const subject of subjects) {
        if ((held.get(subject)?.expiryMinute ?? Infinity) <= minute) held.delete(subject);
      }
    }
  };

  /** When the list was last known to be complete. */
  let asOf = performance.now();
  const takeAll = (entries: Revocation[]) => entries.forEach(apply);
  let cursor = await store.readAll(takeAll);
  // Otherwise it is not enough to go on from the cursor.
  let isSound = true;

  // One proof at a time, of the list as it was read before: one a second, and not one for each notification.
  let proving = Promise.resolve();
  let isProving = false;
  let provedAt = -Infinity;
  const prove = (readAt: number): void => {
    const now = performance.now();
    if (isProving || now - provedAt < 0.9 * followEveryMs) return;
    isProving = true;
    provedAt = now;
    proving = store
      .isCurrent(cursor)
      .then((isCurrent) => {
        if (isCurrent) asOf = readAt;
      }, warn)
      .finally(() => {
        isProving = false;
      });
  };

  // One look at a time; who wakes during a look gets another one after it.
  let looking = Promise.resolve();
  let isLooking = false;
  let again = false;
  let closed = false;
  const look = async (): Promise<void> => {
    isLooking = true;
    do {
      again = false;
      const began = performance.now();
      const goesOn = isSound;
      isSound = true;
      try {
        const next = goesOn ? await store.readSince(cursor, takeAll) : undefined;
        cursor = next ?? (await store.readAll(takeAll));
        prove(began);
      } catch (error) {
        isSound &&= goesOn;
        warn(error);
      }
      forgetExpired();
    } while (again && !closed);
    isLooking = false;
  };
  const wake = (): void => {
    if (closed) return;
    if (isLooking) again = true;
    else looking = look();
  };
  const timer = setInterval(wake, followEveryMs);

  return {
    apply,
    wake,
    reload() {
      isSound = false;
      wake();
    },
    check({ tokenId, sessionId, userId, keyId, epoch }) {
      for (const subject of [tokenId, sessionId, userId, keyId, everybody] satisfies (
        | RevocationSubject
        | undefined
      )[]) {
        if (subject !== undefined && epoch < (held.get(subject)?.minimumEpoch ?? 0)) throw new Problem("token-revoked");
      }
      if (performance.now() - asOf > boundMs) throw new Problem("revocations-stale");
    },
    async revoke(entry) {
      await store.insert(entry);
      apply(entry);
    },
    stalenessSeconds: () => (performance.now() - asOf) / 1000,
    size: () => held.size,
    async close() {
      closed = true;
      clearInterval(timer);
      await looking;
      await proving;
    },
  };
}
