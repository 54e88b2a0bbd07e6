/**
 * Estimates when a transaction became visible. `now()` in a transaction is the time at which it began, but its commit can be
 * delayed: a synchronous standby does not respond, or the server is frozen. Until the commit is visible, no client can receive
 * the result, so a grace period must not begin before.
 *
 * Each instance reads a snapshot every second for the revocation list. The snapshots of the last minutes are kept here.
 */

export type CommitHistory = {
  /**
   * Records a snapshot.
   * @param server the start time of its server
   * @param atMs the time of the request for it (`performance.now()`)
   */
  record(server: string, snapshot: string, atMs: number): void;
  /**
   * How long a transaction has been visible, in seconds, accurate to about a second. Times without snapshots (the database was
   * unavailable, or this instance was not running) do not count.
   * @param xid a transaction that is visible now
   * @param startedSecondsAgo the time since it began, which is the result if the commit was not delayed
   */
  secondsVisible(xid: string, startedSecondsAgo: number): number;
};

/** How long snapshots are kept: longer than the longest grace period and the longest delay together. */
const keptMs = 660_000;
/** A snapshot that follows sooner is not kept. */
const minIntervalMs = 500;
/** After a longer gap, it is unknown what was visible in between. */
const maxGapMs = 3_000;

/** @param nowMs the clock (`performance.now()`), for tests */
export function commitHistory(nowMs: () => number = () => performance.now()): CommitHistory {
  let server: string | undefined;
  let snapshots: { atMs: number; snapshot: string }[] = [];

  return {
    record(from, snapshot, atMs) {
      const lastMs = snapshots.at(-1)?.atMs ?? -Infinity;
      // After a failover, the new server may reuse the ids of lost transactions.
      if (from !== server || atMs - lastMs > maxGapMs) snapshots = [];
      else if (atMs - lastMs < minIntervalMs) return;
      server = from;
      snapshots.push({ atMs, snapshot });
      while ((snapshots[0]?.atMs ?? Infinity) < atMs - keptMs) snapshots.shift();
    },

    secondsVisible(xid, startedSecondsAgo) {
      const now = nowMs();
      const last = snapshots.at(-1);
      if (!last || now - last.atMs > maxGapMs) return 0;
      const startedMs = now - startedSecondsAgo * 1000;
      const since = snapshots.filter(({ atMs }) => atMs >= startedMs);
      const first = since.findIndex(({ snapshot }) => isVisible(xid, snapshot));
      const seen = since[first];
      if (!seen) return since.length > 0 ? 0 : startedSecondsAgo;
      // The commit took less than a second if the first snapshot after the start already shows it, unless older snapshots are
      // missing.
      const isDelayed = first > 0 || seen === snapshots[0];
      return isDelayed ? (now - seen.atMs) / 1000 : startedSecondsAgo;
    },
  };
}

/** @param snapshot as `pg_snapshot`: `xmin:xmax:xip,xip`. Transactions from `xmax` on, and those in `xip`, had not ended. */
function isVisible(xid: string, snapshot: string): boolean {
  const [, xmax = "0", running = ""] = snapshot.split(":");
  return BigInt(xid) < BigInt(xmax) && !running.split(",").includes(xid);
}
