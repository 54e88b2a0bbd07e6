/**
 * The entries of the revocation list that this instance has read lately. The feed responds with them, so a thousand followers
 * cause no query.
 */
import { type Cursor, encodeCursor } from "./cursor.ts";
import { isAtLeast, type Position } from "./position.ts";
import type { ReadPart, Revocation } from "./storeTypes.ts";

/** Entries that are kept. Each takes about 200 bytes. */
const maxKept = 10_000;
/** Entries of one response. */
export const pageSize = 1_000;

export type FoundEntries = {
  entries: readonly Revocation[];
  /** Where the next request continues. */
  next: Cursor;
  hasMore: boolean;
};

export type RecentEntries = {
  /** Begins again: entries before this position are not known, or were missed. */
  restart(position: Position, atMs: number): void;
  /**
   * Adds a part of a read that continues at the head.
   * @param atMs the time of the database at which the read began
   */
  append(part: ReadPart, atMs: number): void;
  /** @returns the entries that a client with this cursor lacks; `undefined` if it may lack entries that are not kept */
  since(cursor: Cursor): FoundEntries | undefined;
  /** How far the list was read completely. */
  head(): Cursor;
};

/** The entries between the end of the previous step and the end of this one. */
type Step = {
  entries: readonly Revocation[];
  end: Cursor;
  /** A client at this snapshot or a later one has the entries. `undefined` in the middle of a read, where only the cursor `end` matches. */
  reached: string | undefined;
};

export function createRecentEntries(): RecentEntries {
  /** In the order of their ends. The first one has no entries. */
  let steps: Step[] = [];
  let head: Cursor = { position: { server: "", snapshot: "" }, atMs: 0 };
  let kept = 0;
  /** The entries that a client lacks after each step. Many clients wait at the same step, so they share one list. */
  const lacking = new Map<Step, FoundEntries>();

  const push = (step: Step): void => {
    steps.push(step);
    kept += step.entries.length;
    while (kept > maxKept && steps.length > 1) {
      steps.shift();
      const [first] = steps;
      if (!first) break;
      kept -= first.entries.length;
      first.entries = [];
    }
  };

  const indexOf = (cursor: Cursor): number => {
    if (!cursor.page) {
      const isReached = ({ reached }: Step) => reached !== undefined && isAtLeast(cursor.position.snapshot, reached);
      const oldest = steps.find(({ reached }) => reached !== undefined);
      // Most clients are at the newest step, or behind the oldest one.
      return oldest && isReached(oldest) ? steps.findLastIndex(isReached) : -1;
    }
    const text = encodeCursor(cursor);
    return steps.findLastIndex(({ end, reached }) => reached === undefined && encodeCursor(end) === text);
  };

  return {
    restart(position, atMs) {
      head = { position, atMs };
      steps = [{ entries: [], end: head, reached: position.snapshot }];
      kept = 0;
      lacking.clear();
    },

    append({ entries, target, isLast }, atMs) {
      lacking.clear();
      const end: Cursor = { position: target, atMs };
      for (let start = 0; start < entries.length; start += pageSize) {
        const part = entries.slice(start, start + pageSize);
        const last = part.at(-1);
        const isEnd = isLast && start + pageSize >= entries.length;
        if (isEnd) push({ entries: part, end, reached: target.snapshot });
        else if (last) {
          // The time of the head, because a client with this cursor may lack what was committed since then.
          const page = { base: head.position.snapshot, xid: last.xid, id: last.id };
          push({ entries: part, end: { position: target, atMs: head.atMs, page }, reached: undefined });
        }
      }
      if (!isLast) return;
      const step = steps.at(-1);
      // Clients at the previous end lack nothing, so it stays known.
      if (step?.reached !== undefined) step.end = end;
      else push({ entries: [], end, reached: target.snapshot });
      head = end;
    },

    since(cursor) {
      if (cursor.position.server !== head.position.server) return undefined;
      const index = indexOf(cursor);
      const step = steps[index];
      if (!step) return undefined;
      const known = lacking.get(step);
      if (known) return known;
      const entries: Revocation[] = [];
      let next = index + 1;
      for (let step = steps[next]; step && entries.length + step.entries.length <= pageSize; step = steps[next]) {
        entries.push(...step.entries);
        next += 1;
      }
      const end = steps[next - 1]?.end ?? cursor;
      // Another instance may have read further than this one.
      const isAhead = next === index + 1 && !cursor.page && !isAtLeast(end.position.snapshot, cursor.position.snapshot);
      const found = { entries, next: isAhead ? cursor : end, hasMore: next < steps.length };
      if (entries.length > 0) lacking.set(step, found);
      return found;
    },

    head: () => head,
  };
}
