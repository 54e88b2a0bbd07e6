/** The revocation list in memory, by subject. An entry takes about 85 bytes. */
const minuteMs = 60_000;

type Entry = { subject: string; minimumEpoch: number; expiresAt: Date };

export type RevocationMemory = {
  /** Adds an entry. If a subject has several, the highest epoch and the latest expiry count. */
  add(entry: Entry): void;
  /** The lowest epoch of the subject whose tokens are not revoked. Zero if there is no entry. */
  minimumEpoch(subject: string): number;
  /** Removes the entries that have expired, to the minute. */
  removeExpired(now: Date): void;
  /** The number of subjects. */
  size(): number;
};

export function createRevocationMemory(): RevocationMemory {
  const minimumEpochs = new Map<string, number>();
  /** Subjects by the minute in which an entry expires, so that a removal does not iterate over all entries. */
  const expiring = new Map<number, Set<string>>();
  /** The number of minutes in `expiring` that contain a subject. Has only the subjects that are in several minutes. */
  const minutesOf = new Map<string, number>();

  const removeFromMinute = (subject: string): void => {
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
        for (const subject of subjects) removeFromMinute(subject);
      }
    },

    size: () => minimumEpochs.size,
  };
}
