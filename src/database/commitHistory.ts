/**
 * When transactions became visible. A commit can take long (a synchronous standby that does not answer, a frozen
 * server), and `now()` in the transaction is the time at which it began. Until it is visible, nobody else can know
 * of it, so a client must not be blamed for the time in between.
 *
 * Each instance reads a snapshot once a second anyway, to follow revocations. The last minutes of these are kept here.
 */

export type CommitHistory = {
  /**
   * Keeps a snapshot.
   * @param server names the start of the server that it is of
   * @param atMs when it was asked for, by `performance.now()`
   */
  saw(server: string, snapshot: string, atMs: number): void;
  /**
   * For how many seconds others have been able to see a transaction, to about a second. Time for which no snapshot
   * was read (the database was away, this instance was not running) does not count.
   * @param xid of a transaction that is visible now
   * @param startedSecondsAgo when it began, by its own `now()`: the result if nothing delayed it
   */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
};

/** How long snapshots are kept: as far back as anybody asks, which is the longest grace and the longest delay. */
const keptMs = 660_000;
/** Snapshots follow each other within a second. Those of one second say the same. */
const thinnedMs = 500;
/** After a longer pause than this it is not known what clients could see in it. */
const gapMs = 3_000;

/** @param nowMs the clock, for tests */
export function commitHistory(nowMs: () => number = () => performance.now()): CommitHistory {
  let server: string | undefined;
  let snapshots: { atMs: number; snapshot: string }[] = [];

  return {
    saw(from, snapshot, atMs) {
      const lastMs = snapshots.at(-1)?.atMs ?? -Infinity;
      // Another server may give the numbers of lost transactions to others.
      if (from !== server || atMs - lastMs > gapMs) snapshots = [];
      else if (atMs - lastMs < thinnedMs) return;
      server = from;
      snapshots.push({ atMs, snapshot });
      while ((snapshots[0]?.atMs ?? Infinity) < atMs - keptMs) snapshots.shift();
    },

    secondsVisible(xid, startedSecondsAgo) {
      const now = nowMs();
      const last = snapshots.at(-1);
      if (!last || now - last.atMs > gapMs) return 0;
      const startedMs = now - startedSecondsAgo * 1000;
      const since = snapshots.filter(({ atMs }) => atMs >= startedMs);
      const first = since.findIndex(({ snapshot }) => isVisible(xid, snapshot));
      const seen = since[first];
      if (!seen) return since.length > 0 ? 0 : startedSecondsAgo;
      // Either it was missing at first, or nobody looked when it began. Otherwise it ended within a second.
      const isDelayed = first > 0 || seen === snapshots[0];
      return isDelayed ? (now - seen.atMs) / 1000 : startedSecondsAgo;
    },
  };
}

/**
 * @param snapshot as Postgres writes it: `xmin:xmax:xip,xip`. Transactions at `xmax` and above are under way, or have
 * not begun.
 */
function isVisible(xid: string, snapshot: string): boolean {
  const [, xmax = "0", running = ""] = snapshot.split(":");
  return BigInt(xid) < BigInt(xmax) && !running.split(",").includes(xid);
}
