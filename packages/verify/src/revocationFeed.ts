/** Follows the revocation list of Latchkey, with `GET /api/revocations`. */
import { type Fetch, fetchJson, isEpoch, isObject, isText, StatusError } from "./json.ts";
import { unref } from "./keySet.ts";
import { isRejection } from "./reports.ts";
import type { RevocationEntry } from "./revocationList.ts";

export type RevocationFeed = {
  /** Resolves when the list is complete for the first time. */
  loaded: Promise<void>;
  isLoaded(): boolean;
  /** How far the list was read. The response to an introspection must be at least as recent. */
  cursor(): string | undefined;
  /** The time since the list was known to be complete. `Infinity` before the first time. */
  stalenessMs(nowMs: number): number;
  /** Sends a request now, but at most one each second. For a list that is stale although Latchkey may be reachable. */
  wake(): void;
  /** Reads the whole list again, and regards it as incomplete until then. */
  reload(): void;
  close(): Promise<void>;
};

type RevocationFeedOptions = {
  /** The address of the operation. */
  url: string;
  /** The header of each request. */
  authorization: string;
  fetch: Fetch;
  maxStalenessMs: number;
  /** Returns whether all of them could be kept. If not, they are asked for again. */
  onEntries: (entries: readonly RevocationEntry[]) => boolean;
  /** Called if entries may have been missed: those that were added and expired meanwhile. */
  onGap: () => void;
  /** Called with each failure, and with `undefined` after a success. */
  onOutcome: (error: unknown) => void;
};

type Page = { entries: RevocationEntry[]; next: string; hasMore: boolean; completeAtOffsetMs: number };
type Answer = Page & { sentAtMs: number; receivedAtMs: number };

/** A held request that takes this much longer than it asked for has lost its connection. */
const graceMs = 1_500;
/** The time that a page may take to begin, and as a whole. The first page can be large. */
const pageIdleMs = 5_000;
const pageTimeoutMs = 20_000;
const maxPageBytes = 16_777_216;
/** The time between the starts of attempts. A random part, up to half, is subtracted. Earlier attempts continue. */
const attemptIntervalMs = 1_000;
/**
 * The same after a rejection. It may end soon too: a proxy responds with 404 while Latchkey is away, or a role is granted again.
 */
const rejectedIntervalMs = 1_500;
/** The minimum time between the starts of requests if a response has no entries although it could have waited for some. */
const emptyIntervalMs = 250;
/** The same if there is more. Latchkey makes a follower that may have lost its rights send another request. */
const emptyPageIntervalMs = 50;
/** The longest pause between the failure of a held request and the next attempt, if another one failed shortly before. */
const failureIntervalMs = 500;
const maxCursorLength = 4_096;

export function followRevocations(options: RevocationFeedOptions): RevocationFeed {
  const { url, authorization, fetch, maxStalenessMs, onEntries, onGap, onOutcome } = options;
  // Less than the bound, so that a lost connection is noticed and replaced before the list is stale.
  const waitSeconds = Math.min(30, Math.floor((0.3 * maxStalenessMs) / 1000));
  const closing = new AbortController();
  /** Where the next page begins; `undefined` for the first page of the whole list. */
  let after: string | undefined;
  let lastCursor: string | undefined;
  /** When the list was complete, by the monotonic clock, which stands still while a machine sleeps, and by the other clock. */
  let completeAtMs = -Infinity;
  let completeAtWallMs = -Infinity;
  /** The number of calls of `reload`. An answer to a request from before the last call does not make the list complete. */
  let reloads = 0;
  /** Ends the held request, or the pause between requests. */
  let endWait = () => {};
  let wasWoken = false;
  let failedAtMs = -Infinity;
  let wokenAtMs = -Infinity;
  let resolveLoaded = () => {};
  const loaded = new Promise<void>((resolve) => {
    resolveLoaded = resolve;
  });

  const request = async (wait: number, idleTimeoutMs: number, signal: AbortSignal): Promise<Answer> => {
    const query = new URLSearchParams({ ...(after !== undefined && { after }), wait: String(wait) });
    const sentAtMs = performance.now();
    const body = await fetchJson(fetch, `${url}?${query}`, {
      headers: { Authorization: authorization },
      idleTimeoutMs,
      timeoutMs: wait * 1000 + pageTimeoutMs,
      maxBytes: maxPageBytes,
      signal,
    });
    return { ...parsePage(body), sentAtMs, receivedAtMs: performance.now() };
  };

  const accept = ({ next, hasMore, completeAtOffsetMs, sentAtMs, receivedAtMs }: Answer): void => {
    after = next;
    lastCursor = next;
    if (hasMore) return;
    // The time at which the list was complete cannot be in the future, and it never moves back.
    const atMs = Math.min(sentAtMs + completeAtOffsetMs, receivedAtMs);
    if (atMs <= completeAtMs) return;
    completeAtMs = atMs;
    completeAtWallMs = Date.now() - (performance.now() - atMs);
    resolveLoaded();
  };

  /** Waits for what is new, over one connection. */
  const poll = async (): Promise<Answer> => {
    const cancel = new AbortController();
    const onClose = () => cancel.abort(closing.signal.reason);
    closing.signal.addEventListener("abort", onClose, { once: true });
    endWait = () => cancel.abort(new Error("The request was replaced."));
    try {
      return await request(waitSeconds, waitSeconds * 1000 + graceMs, cancel.signal);
    } finally {
      endWait = () => {};
      closing.signal.removeEventListener("abort", onClose);
    }
  };

  /**
   * Tries until an attempt succeeds. Attempts overlap: a new one begins each second, because a connection from before a failure of
   * the network may stay silent after it, and an attempt has more time than that, because the network may be slow.
   */
  const recover = (): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const cancel = new AbortController();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const end = () => {
        clearTimeout(timer);
        cancel.abort();
        closing.signal.removeEventListener("abort", onClose);
      };
      const onClose = () => {
        end();
        reject(closing.signal.reason);
      };
      const schedule = (ms: number) => {
        clearTimeout(timer);
        timer = setTimeout(attempt, ms * (0.5 + Math.random() / 2));
        unref(timer);
      };
      const onFailure = (error: unknown, attemptAfter: string | undefined): void => {
        if (cancel.signal.aborted) return;
        if (isExpiredCursor(error) && attemptAfter !== undefined) {
          if (attemptAfter === after) restart();
          schedule(0);
          return;
        }
        onOutcome(error);
        if (isRejection(error)) schedule(rejectedIntervalMs);
      };
      const attempt = () => {
        schedule(attemptIntervalMs);
        const attemptAfter = after;
        request(0, pageIdleMs, cancel.signal).then(
          (answer) => {
            end();
            resolve(answer);
          },
          (error: unknown) => onFailure(error, attemptAfter),
        );
      };
      closing.signal.addEventListener("abort", onClose, { once: true });
      if (closing.signal.aborted) onClose();
      else attempt();
    });

  /** Begins with the whole list. What is known stays, because no entry of the past can be withdrawn. */
  const restart = () => {
    after = undefined;
    onGap();
  };

  const next = async (isFollowing: boolean): Promise<Answer> => {
    if (!isFollowing || wasWoken) return recover();
    try {
      return await poll();
    } catch (error) {
      if (isExpiredCursor(error)) restart();
      else if (!closing.signal.aborted && !wasWoken) onOutcome(error);
      const failedBeforeMs = failedAtMs;
      failedAtMs = performance.now();
      await pause(failedBeforeMs + failureIntervalMs - failedAtMs);
      return recover();
    }
  };

  const follow = async (): Promise<void> => {
    for (let isFollowing = false; !closing.signal.aborted; ) {
      const startedMs = performance.now();
      const readReloads = reloads;
      const answer = await next(isFollowing);
      wasWoken = false;
      if (readReloads !== reloads) {
        isFollowing = false;
        continue;
      }
      if (!onEntries(answer.entries)) {
        onOutcome(new Error("there are more entries than maxRevocations allows"));
        isFollowing = false;
        await pause(attemptIntervalMs);
        continue;
      }
      accept(answer);
      onOutcome(undefined);
      const intervalMs = answer.hasMore ? emptyPageIntervalMs : isFollowing ? emptyIntervalMs : 0;
      if (answer.entries.length === 0) await pause(startedMs + intervalMs - performance.now());
      isFollowing = !answer.hasMore;
    }
  };
  const pause = (ms: number): Promise<void> =>
    ms <= 0 || closing.signal.aborted
      ? Promise.resolve()
      : new Promise((resolve) => {
          endWait = () => {
            endWait = () => {};
            clearTimeout(timer);
            closing.signal.removeEventListener("abort", endWait);
            resolve();
          };
          const timer = setTimeout(endWait, ms);
          closing.signal.addEventListener("abort", endWait, { once: true });
        });

  const following = follow().catch((error: unknown) => {
    if (!closing.signal.aborted) onOutcome(error);
  });

  const wake = () => {
    wasWoken = true;
    endWait();
  };

  return {
    loaded,
    isLoaded: () => completeAtMs !== -Infinity,
    cursor: () => lastCursor,
    stalenessMs: (nowMs) => Math.max(performance.now() - completeAtMs, nowMs - completeAtWallMs),
    wake() {
      const nowMs = performance.now();
      if (nowMs - wokenAtMs < attemptIntervalMs) return;
      wokenAtMs = nowMs;
      wake();
    },
    reload() {
      reloads += 1;
      completeAtMs = -Infinity;
      completeAtWallMs = -Infinity;
      restart();
      wake();
    },
    close() {
      closing.abort(new Error("The verifier is closed."));
      return following;
    },
  };
}

const isExpiredCursor = (error: unknown): boolean => error instanceof StatusError && error.status === 410;

/** @throws {Error} if a part is malformed. Then nothing of the page is used */
function parsePage(body: unknown): Page {
  if (!isObject(body) || !Array.isArray(body["entries"])) throw malformed("no list of entries");
  const { next, has_more: hasMore, complete_at_offset_ms: completeAtOffsetMs } = body;
  if (!isText(next, maxCursorLength) || typeof hasMore !== "boolean") throw malformed("no cursor");
  if (typeof completeAtOffsetMs !== "number") throw malformed("no time of completeness");
  const entries = body["entries"].map(parseEntry);
  return { entries, next, hasMore, completeAtOffsetMs };
}

function parseEntry(entry: unknown): RevocationEntry {
  const { subject, minimum_epoch: minimumEpoch, expires_at: expiresAt } = isObject(entry) ? entry : {};
  const expiresAtMs = typeof expiresAt === "string" ? Date.parse(expiresAt) : Number.NaN;
  if (!isText(subject, 1_024) || !isEpoch(minimumEpoch) || !Number.isFinite(expiresAtMs)) throw malformed("an entry");
  return { subject, minimumEpoch, expiresAtMs };
}

const malformed = (what: string) => new Error(`The revocation list of Latchkey is malformed: it has ${what}.`);
