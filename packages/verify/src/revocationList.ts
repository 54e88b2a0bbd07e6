/** The revocation list in memory, by subject. */
const minuteMs = 60_000;

/** Revokes the tokens of a subject whose epoch is lower. */
export type RevocationEntry = { subject: string; minimumEpoch: number; expiresAtMs: number };

export type RevocationList = {
  /**
   * If a subject has several entries, the highest epoch and the latest expiry count. So no entry can revive a token.
   * @returns whether there was room for it
   */
  add(entry: RevocationEntry): boolean;
  /** The lowest epoch of the subject whose tokens are not revoked. Zero if there is no entry. */
  minimumEpoch(subject: string): number;
  /** Removes the entries that have expired, to the minute. */
  removeExpired(nowMs: number): void;
  /** Whether entries were removed too early because the clock was set back. Then the whole list must be read again. */
  lacksEntriesAt(nowMs: number): boolean;
  /** Call before the whole list is read again. */
  beginReload(): void;
  /** The number of subjects. */
  size(): number;
};

/** Latchkey keeps an entry for this time after the last token that it revokes has expired. */
const entryMarginMs = 300_000;

/** The maximum average. The ids that most entries name have 36 characters. */
const maxSubjectLength = 64;

export function createRevocationList(maxEntries: number): RevocationList {
  const entries = new Map<string, { minimumEpoch: number; minute: number }>();
  /** Subjects by the minute in which an entry expires, so that a removal does not iterate over all entries. */
  const expiring = new Map<number, Set<string>>();
  let removedAtMs = -Infinity;
  /** Characters of all subjects. */
  let length = 0;

  return {
    add({ subject, minimumEpoch, expiresAtMs }) {
      const known = entries.get(subject);
      if (!known) {
        if (entries.size >= maxEntries || length + subject.length > maxEntries * maxSubjectLength) return false;
        length += subject.length;
      }
      const minute = Math.max(Math.ceil(expiresAtMs / minuteMs), known?.minute ?? 0);
      entries.set(subject, { minimumEpoch: Math.max(minimumEpoch, known?.minimumEpoch ?? 0), minute });
      if (known?.minute === minute) return true;
      if (known) removeFrom(known.minute, subject);
      const subjects = expiring.get(minute) ?? new Set();
      expiring.set(minute, subjects.add(subject));
      return true;
    },

    minimumEpoch: (subject) => entries.get(subject)?.minimumEpoch ?? 0,

    removeExpired(nowMs) {
      for (const [minute, subjects] of expiring) {
        if (minute * minuteMs > nowMs) continue;
        expiring.delete(minute);
        for (const subject of subjects) {
          entries.delete(subject);
          length -= subject.length;
        }
        removedAtMs = Math.max(removedAtMs, nowMs);
      }
    },

    lacksEntriesAt: (nowMs) => nowMs < removedAtMs - entryMarginMs,

    beginReload() {
      removedAtMs = -Infinity;
    },

    size: () => entries.size,
  };

  function removeFrom(minute: number, subject: string): void {
    const subjects = expiring.get(minute);
    subjects?.delete(subject);
    if (subjects?.size === 0) expiring.delete(minute);
  }
}
