/**
 * A cache of rows that decide about requests, such as the rights of a user. Every change of such a row writes an entry into the
 * revocation list (revoke.ts), in the same statement. So each instance forgets the row within a second, and reads it again when
 * it is needed.
 */
import QuickLRU from "quick-lru";
import { runWithoutDeadline } from "../requestContext.ts";
import { everybody, type Revocations } from "./revocations.ts";

export type RevocableCache<Value> = {
  /**
   * Returns no promise if the value is in memory.
   * @throws {Problem} `database-unavailable`
   */
  get(key: string): Value | Promise<Value>;
  /** The number of values in memory. */
  size(): number;
};

type CacheOptions<Value> = {
  revocations: Pick<Revocations, "onEntry">;
  /** Reads a value that is not in memory. */
  load(key: string): Promise<Value>;
  /** The subjects whose entries make the value outdated. */
  subjectsOf(key: string, value: Value): readonly string[];
  /** The cache keeps at least this number of recently used values, and at most twice as many. */
  maxSize: number;
};

type Load<Value> = { key: string; value: Promise<Value>; changedSubjects: Set<string>; isOutdated: boolean };

export function revocableCache<Value extends object>(options: CacheOptions<Value>): RevocableCache<Value> {
  const { revocations, load, subjectsOf, maxSize } = options;
  /** Most subjects have one key, for which a set would take several times as much memory. */
  const keysBySubject = new Map<string, string | Set<string>>();
  /** All loads in progress. */
  const loads = new Set<Load<Value>>();
  /** The loads in progress that a request may wait for. */
  const currentLoads = new Map<string, Load<Value>>();

  const unlink = (key: string, value: Value): void => {
    for (const subject of subjectsOf(key, value)) {
      const keys = keysBySubject.get(subject);
      if (keys instanceof Set) keys.delete(key);
      if (keys === key || (keys instanceof Set && keys.size === 0)) keysBySubject.delete(subject);
    }
  };
  const values = new QuickLRU<string, Value>({ maxSize, onEviction: unlink });

  const remember = (key: string, value: Value): void => {
    values.set(key, value);
    for (const subject of subjectsOf(key, value)) {
      const keys = keysBySubject.get(subject);
      if (keys instanceof Set) keys.add(key);
      else keysBySubject.set(subject, keys === undefined || keys === key ? key : new Set([keys, key]));
    }
  };

  revocations.onEntry((subject) => {
    // A load that has begun may have read the row before the change. No later request waits for it.
    currentLoads.clear();
    // `latchkey restore` ends what every user has, with one entry.
    if (subject === undefined || subject === everybody) {
      for (const loading of loads) loading.isOutdated = true;
      values.clear();
      keysBySubject.clear();
      return;
    }
    for (const { changedSubjects } of loads) changedSubjects.add(subject);
    const keys = keysBySubject.get(subject);
    if (keys === undefined) return; // most entries revoke tokens, and concern no row
    for (const key of typeof keys === "string" ? [keys] : [...keys]) {
      const value = values.peek(key);
      values.delete(key);
      if (value !== undefined) unlink(key, value);
    }
  });

  const begin = (key: string): Promise<Value> => {
    // Without the deadline of the request that starts the load, because other requests may wait for the value too.
    const value = runWithoutDeadline(() => load(key));
    const loading: Load<Value> = { key, value, changedSubjects: new Set(), isOutdated: false };
    loads.add(loading);
    currentLoads.set(key, loading);
    const end = () => {
      loads.delete(loading);
      if (currentLoads.get(key) === loading) currentLoads.delete(key);
    };
    value.then((loaded) => {
      const isChanged = subjectsOf(key, loaded).some((subject) => loading.changedSubjects.has(subject));
      if (!loading.isOutdated && !isChanged) remember(key, loaded);
      end();
    }, end);
    return value;
  };

  return {
    get: (key) => values.get(key) ?? currentLoads.get(key)?.value ?? begin(key),
    size: () => values.size,
  };
}
