/**
 * How far the revocation list was read. Transactions do not commit in the order of their ids, so a position is a snapshot of the
 * database (docs/decisions/0004-snapshot-cursor.md). On one server, a later snapshot shows every transaction that an earlier one
 * shows.
 */

export type Position = {
  /** The start time of the server. After a failover, the new server may have lost transactions and use their ids for others. */
  server: string;
  /** The text of a `pg_snapshot`: `xmin:xmax:xip,xip`. Transactions from `xmax` on, and those in `xip`, had not ended. */
  snapshot: string;
};

/** More running transactions than this are not listed, so that a cursor fits into a URL. */
const maxRunning = 64;

/** The snapshot of an empty database. */
export const emptySnapshot = "1:1:";

type Snapshot = { xmax: bigint; running: bigint[] };

/**
 * @returns the snapshot, with at most as many running transactions as a cursor may list. It shows nothing that the given snapshot
 * does not show. A later snapshot still shows at least as much
 */
export function limitSnapshot(snapshot: string): string {
  const [xmin, , running = ""] = snapshot.split(":");
  const ids = running.split(",");
  const firstOmitted = ids[maxRunning];
  return firstOmitted === undefined ? snapshot : `${xmin}:${firstOmitted}:${ids.slice(0, maxRunning).join(",")}`;
}

/** The form of a snapshot in a cursor. */
const snapshotForm = new RegExp(`^[0-9]{1,19}:[0-9]{1,19}:(?:[0-9]{1,19}(?:,[0-9]{1,19}){0,${maxRunning - 1}})?$`);

/** The largest number that both `bigint` and `xid8` can represent. */
const maxId = 2n ** 63n - 1n;

/** Whether Postgres accepts the text as a number of a transaction or of a row. */
export const isId = (text: string): boolean => /^[0-9]{1,19}$/.test(text) && BigInt(text) <= maxId;

/** Whether Postgres accepts the text as a `pg_snapshot`, and a cursor may contain it. */
export function isSnapshot(text: string): boolean {
  if (!snapshotForm.test(text)) return false;
  const xmin = BigInt(text.split(":")[0] ?? "");
  const { xmax, running } = parseSnapshot(text);
  const isOrdered = running.every((id, index) => id > (running[index - 1] ?? -1n) && id >= xmin && id < xmax);
  return isOrdered && xmin > 0n && xmin <= xmax && xmax <= maxId;
}

function parseSnapshot(snapshot: string): Snapshot {
  const [, xmax = "0", running = ""] = snapshot.split(":");
  return { xmax: BigInt(xmax), running: running === "" ? [] : running.split(",").map(BigInt) };
}

/** Whether every transaction that is visible at `earlier` is visible at `later`. Both must be of the same server. */
export function isAtLeast(later: string, earlier: string): boolean {
  if (later === earlier) return true;
  const [given, shown] = [parseSnapshot(later), parseSnapshot(earlier)];
  return given.xmax >= shown.xmax && given.running.every((id) => id >= shown.xmax || shown.running.includes(id));
}
