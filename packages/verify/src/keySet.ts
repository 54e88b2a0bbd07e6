/** The public keys of Latchkey, from its key set (RFC 7517). */
import { type Fetch, fetchJson, isObject } from "./json.ts";
import { type ImportKey, importHere, importJwk, type VerificationKey } from "./signature.ts";

export type KeySet = {
  /**
   * Looks up a key. If it is unknown, waits for the next request of the key set, which all callers share.
   * @returns `undefined` if the key set does not have it
   * @throws {Error} if the key set could not be requested
   */
  find(kid: string): VerificationKey | undefined | Promise<VerificationKey | undefined>;
  /** Resolves when the keys are known. */
  loaded: Promise<void>;
  isLoaded(): boolean;
  close(): void;
};

type KeySetOptions = {
  /** The address of the key set. */
  url: string;
  fetch: Fetch;
  /** Called with the `kid` of each key that the set no longer has. */
  onRemoved: (kid: string) => void;
  /** Called with each failure, and with `undefined` after a success. */
  onOutcome: (error: unknown) => void;
  importKey?: ImportKey;
};

/** The time that the response may be cached. A key is published for longer than this before it signs. */
const refreshIntervalMs = 300_000;
/** The minimum time between the starts of two requests, even if many tokens name an unknown key. */
export const minFetchIntervalMs = 1_000;
const timeoutMs = 5_000;
const maxBytes = 262_144;
const maxKeys = 100;

export function watchKeySet(options: KeySetOptions): KeySet {
  const { url, fetch, onRemoved, onOutcome, importKey = importHere } = options;
  const closing = new AbortController();
  let keys: ReadonlyMap<string, VerificationKey> = new Map();
  let startedMs = -Infinity;
  let refreshTimer: ReturnType<typeof setTimeout> | undefined;
  let upcoming: Promise<void> | undefined;
  /** Requests are numbered, because a response that is late must not bring back a key that was removed meanwhile. */
  let lastNumber = 0;
  let loadedNumber = 0;
  let resolveLoaded = () => {};
  const loaded = new Promise<void>((resolve) => {
    resolveLoaded = resolve;
  });

  /** Old keys stay in use while Latchkey does not respond, or responds with anything but keys. */
  const load = async (): Promise<void> => {
    lastNumber += 1;
    const number = lastNumber;
    const bounds = { idleTimeoutMs: timeoutMs, timeoutMs, maxBytes, signal: closing.signal };
    const fetched = await parseKeySet(await fetchJson(fetch, url, bounds), importKey);
    if (number < loadedNumber) return;
    loadedNumber = number;
    const removed = [...keys.keys()].filter((kid) => !fetched.has(kid));
    keys = fetched;
    for (const kid of removed) onRemoved(kid);
    resolveLoaded();
  };

  const schedule = (delayMs: number): void => {
    clearTimeout(refreshTimer);
    if (closing.signal.aborted) return;
    refreshTimer = setTimeout(() => fetchKeys().catch(() => {}), delayMs);
    unref(refreshTimer);
  };
  const fetchKeys = async (): Promise<void> => {
    startedMs = performance.now();
    clearTimeout(refreshTimer);
    try {
      await load();
      schedule(refreshIntervalMs);
      onOutcome(undefined);
    } catch (error) {
      schedule(minFetchIntervalMs);
      if (!closing.signal.aborted) onOutcome(error);
      throw error;
    }
  };

  /** The next request that has not begun. A request that has begun may miss a key that was published meanwhile. */
  const nextFetch = (): Promise<void> => {
    upcoming ??= delay(startedMs + minFetchIntervalMs - performance.now()).then(() => {
      upcoming = undefined;
      closing.signal.throwIfAborted();
      return fetchKeys();
    });
    return upcoming;
  };

  fetchKeys().catch(() => {});
  return {
    find: (kid) => keys.get(kid) ?? nextFetch().then(() => keys.get(kid)),
    loaded,
    isLoaded: () => keys.size > 0,
    close() {
      closing.abort(new Error("The verifier is closed."));
      clearTimeout(refreshTimer);
    },
  };
}

/** @throws {Error} if it has no key that can be used */
async function parseKeySet(set: unknown, importKey: ImportKey): Promise<Map<string, VerificationKey>> {
  if (!isObject(set) || !Array.isArray(set["keys"])) throw new Error("The key set is not a JWK Set.");
  if (set["keys"].length > maxKeys) throw new Error(`The key set has more than ${maxKeys} keys.`);
  const found = new Map<string, VerificationKey>();
  for (const jwk of set["keys"]) {
    const key = await importJwk(jwk, importKey);
    if (key && !found.has(key.kid)) found.set(key.kid, key);
  }
  if (found.size === 0) throw new Error("The key set has no key that can be used.");
  return found;
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Lets a process end while a timer of Node.js waits. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}
