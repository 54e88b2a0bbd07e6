/** The revocation list in memory: about 85 bytes for each entry, and a look-up by subject. */
const minuteMs = 60_000;

type Entry = { subject: string; minimumEpoch: number; expiresAt: Date };

export type RevocationMemory = {
  /** Adds an entry. Of several entries for a subject, the highest epoch and the latest expiry count. */
  add(entry: Entry): void;
  /** Tokens of the subject with a lower epoch are revoked. Zero if there is no entry. */
  minimumEpoch(subject: string): number;
  /** Removes the entries that have expired, to the minute. */
  removeExpired(now: Date): void;
  /** The number of subjects. */
  size(): number;
};

export function createRevocationMemory(): RevocationMemory {
  const minimumEpochs = new Map<string, number>();
  /** Subjects by the minute in which an entry of theirs expires, so that removing some does not take a walk over all. */
  const expiring = new Map<number, Set<string>>();
  /** In how many minutes a subject is, if in several. */
  const minutesOf = new Map<string, number>();

  const removeOnce = (subject: string): void => {
    const minutes = minutesOf.get(subject) ?? 1;
    if (minutes > 2) minutesOf.set(subject, minutes - 1);
    else minutesOf.delete(subject);
    if (minutes === 1) minimumEpochs.delete(subject);
  };

  return {
    add({ subject, minimumEpoch, expiresAt }) {
      const known = minimumEpochs.get(subject);
      if (known === undefined || minimumEpoch > known) minimumEpochs.set(subject, minimumEpoch);
      const minute = Math.ceil(expiresAt.getTime() / minuteMs);
      const subjects = expiring.get(minute) ?? new Set();
      if (subjects.has(subject)) return;
      expiring.set(minute, subjects.add(subject));
      if (known !== undefined) minutesOf.set(subject, (minutesOf.get(subject) ?? 1) + 1);
    },

    minimumEpoch: (subject) => minimumEpochs.get(subject) ?? 0,

    removeExpired(now) {
      for (const [minute, subjects] of expiring) {
        if (minute * minuteMs > now.getTime()) continue;
        expiring.delete(minute);
        for (const subject of subjects) removeOnce(subject);
      }
    },

    size: () => minimumEpochs.size,
  };
}
