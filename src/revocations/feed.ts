/**
 * The feed of the revocation list, for verifiers in other services. A follower reads the whole list in pages, and then waits for
 * new entries. This instance responds with the entries that it has read lately, without a query. A follower that comes from
 * another instance, or was away for a while, continues with pages from the database.
 */
import QuickLRU from "quick-lru";
import type { RevocationSubject } from "../identifiers.ts";
import type { Principal } from "../principal.ts";
import { invalidRequest, Problem, type RequestError } from "../problems/problems.ts";
import { holdRequest, requestContext } from "../requestContext.ts";
import { type Cursor, encodeCursor, type Page, parseCursor } from "./cursor.ts";
import { createHolds, type Hold } from "./holds.ts";
import { emptySnapshot, isAtLeast } from "./position.ts";
import { type FoundEntries, pageSize } from "./recentEntries.ts";
import { everybody, type Revocations } from "./revocations.ts";
import type { FeedStore, Revocation, StoredRevocation } from "./storeTypes.ts";

type FeedRequest = {
  /** The `next` of the previous response; `undefined` to begin. */
  after: string | undefined;
  /** How long to wait for new entries. */
  waitMs: number;
  principal: Principal;
};

export type FeedResponse = {
  entries: readonly Revocation[];
  next: string;
  hasMore: boolean;
  /** The time at which these were all entries up to `next` (`performance.now()`), unless `hasMore`. */
  completeAtMs: number;
};

export type RevocationFeed = {
  /**
   * @throws {Problem} `invalid-request` for what is no cursor, `cursor-expired`, `revocations-stale`, `database-unavailable`
   */
  read(request: FeedRequest): Promise<FeedResponse>;
  /**
   * Waits until this instance has read the list at least as far as a cursor of the feed. A decision that follows is not older than
   * the entries that the holder of the cursor has seen.
   * @param refusal names the part of the request, for the problem
   * @throws {Problem} `invalid-request` for what is no cursor; `revocations-stale`, `database-unavailable` within a few seconds
   */
  atLeast(cursor: string, refusal: RequestError): Promise<void>;
  /** The number of requests that are held. */
  followers(): number;
  /** Ends the held requests, and limits later waits to a second. */
  stop(): void;
};

type Parts = {
  revocations: Revocations;
  /** Reads outside requests, because several followers share a page. */
  store: FeedStore;
  /** The time of the database. */
  clock: () => Date;
};

/** Less than `clockMarginSeconds`, the minimum time that the database keeps an entry. */
const maxCursorAgeMs = 240_000;
/** The database's clock is known to within this time. A cursor from further ahead was issued before the clock was set back. */
const maxCursorLeadMs = 10_000;

/** After a failover, all followers read the list at the same time. These pages are shared. Each takes about 200 kB. */
const maxSharedPages = 25;
const pageSharedMs = 5_000;

type LoadedPage = { server: string; entries: StoredRevocation[]; position: Cursor };

export function createRevocationFeed({ revocations, store, clock }: Parts): RevocationFeed {
  const { recent } = revocations;
  const holds = createHolds();
  revocations.onRead(holds.release);
  const pages = new QuickLRU<string, Promise<LoadedPage>>({ maxSize: maxSharedPages, maxAge: pageSharedMs });

  const isExpired = ({ position, atMs }: Cursor): boolean => {
    const ageMs = clock().getTime() - atMs;
    return position.server !== recent.head().position.server || ageMs > maxCursorAgeMs || ageMs < -maxCursorLeadMs;
  };

  /** Reads a page for all followers with the same cursor. `position` is where the follower is after the last page. */
  const loadPage = (cursor: Cursor | undefined): Promise<LoadedPage> => {
    const key = cursor ? encodeCursor(cursor) : `from the beginning on ${recent.head().position.server}`;
    const known = pages.get(key);
    if (known !== undefined) return known;
    const page: Page = cursor?.page ?? { base: cursor?.position.snapshot ?? emptySnapshot, xid: "0", id: "0" };
    // The head before the query: the page contains everything that is visible there.
    const position = cursor?.page ? cursor : recent.head();
    const loading = store.readPage(page, pageSize).then((loaded) => ({ ...loaded, position }));
    pages.set(key, loading);
    loading.catch(() => pages.delete(key));
    return loading;
  };

  const readFromDatabase = async (cursor: Cursor | undefined): Promise<FoundEntries> => {
    const { server, entries, position: reached } = await loadPage(cursor);
    // The database was replaced, and this instance is about to notice.
    if (server !== reached.position.server) throw new Problem("revocations-stale");
    const position = { position: reached.position, atMs: reached.atMs };
    const last = entries.at(-1);
    if (last && entries.length === pageSize) {
      const base = cursor?.page?.base ?? cursor?.position.snapshot ?? emptySnapshot;
      // While the entries since an old cursor are read, the follower lacks what was committed since then.
      const atMs = cursor?.atMs ?? position.atMs;
      return { entries, next: { ...position, atMs, page: { base, xid: last.xid, id: last.id } }, hasMore: true };
    }
    const later = recent.since(position);
    if (!later) return { entries, next: position, hasMore: true };
    return { ...later, entries: [...entries, ...later.entries] };
  };

  const find = async (cursor: Cursor | undefined): Promise<FoundEntries> => {
    if (cursor && cursor.position.server !== recent.head().position.server) {
      await revocations.readNow(); // another instance may have noticed a change of the server first
    }
    const found = cursor && recent.since(cursor);
    if (found) return found;
    if (cursor && isExpired(cursor)) {
      throw new Problem("cursor-expired", {
        detail: "Entries after this cursor may be missing. Start again without after.",
      });
    }
    return readFromDatabase(cursor);
  };

  return {
    async read({ after, waitMs, principal }) {
      revocations.requireCurrent();
      let cursor = after === undefined ? undefined : requireCursor(after, notACursor);
      let untilMs = performance.now() + waitMs;
      let hold: Hold | undefined;
      /** Whether there was nothing new before a wait. */
      let hasWaited = false;
      for (;;) {
        const releases = holds.releases();
        const found = await find(cursor);
        const leftMs = untilMs - performance.now();
        // What has come since the last release is sent with the next one.
        const isNews = found.entries.length > 0 && (hold !== undefined || !holds.isReleaseDue());
        const isLastPage = cursor?.page !== undefined && found.next.page === undefined;
        if (!cursor || isNews || isLastPage || found.hasMore || leftMs <= 0) {
          revocations.requireCurrent();
          const completeAtMs = revocations.completeAtMs();
          // The credential may have been revoked during the wait. The next request finds out.
          if (hasWaited && after !== undefined && concerns(found.entries, principal)) {
            return { entries: [], next: after, hasMore: true, completeAtMs };
          }
          return { ...found, next: encodeCursor(found.next), completeAtMs };
        }
        if (found.entries.length === 0) {
          hasWaited = true;
          cursor = found.next;
        }
        if (holds.releases() !== releases) continue; // entries were read while this request looked for some
        const isFirst = hold === undefined;
        hold = holds.hold(leftMs);
        if (isFirst) requestContext().onClose(() => hold?.end());
        if (!(await holdRequest(hold.isReleased))) untilMs = 0;
      }
    },

    async atLeast(text, refusal) {
      const { position } = requireCursor(text, refusal);
      const isRead = () => {
        const { server, snapshot } = recent.head().position;
        return server === position.server && isAtLeast(snapshot, position.snapshot);
      };
      if (isRead()) return;
      await revocations.readNow();
      if (isRead()) return;
      // A later snapshot of the same server shows as much as every earlier one.
      if (recent.head().position.server === position.server) throw invalidRequest(refusal);
      // This list was read from another server than the cursor's. If that server is the current one, this list is the newest.
      if (!(await revocations.isCurrent())) throw new Problem("revocations-stale");
    },

    followers: holds.size,
    stop: holds.stop,
  };
}

function requireCursor(text: string, refusal: RequestError): Cursor {
  const cursor = parseCursor(text);
  if (!cursor) throw invalidRequest(refusal);
  return cursor;
}

const notACursor: RequestError = { parameter: "after", detail: "is not a cursor of this list" };

/** Whether entries may revoke the credential or change the rights of the follower itself. */
function concerns(entries: readonly Revocation[], principal: Principal): boolean {
  const subjects = new Set<RevocationSubject | undefined>([everybody]);
  if (principal.proof === "client-token") subjects.add(`client:${principal.clientId}`);
  else subjects.add(principal.userId).add(`rights:${principal.userId}`);
  if (principal.proof === "api-key") subjects.add(principal.apiKeyId);
  if (principal.proof === "token") subjects.add(principal.sessionId).add(`client:${principal.clientId}`);
  if (principal.proof === "token" || principal.proof === "client-token") {
    subjects.add(principal.tokenId).add(principal.keyId);
  }
  return entries.some(({ subject }) => subjects.has(subject) || subject.startsWith("role:"));
}
