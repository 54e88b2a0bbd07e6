import { RateLimiterPostgres } from "rate-limiter-flexible";
import type { Database } from "../database/database.ts";
import { type CountStore, windowSeconds } from "./throttling.ts";

const windowMs = windowSeconds * 1000;

export function countStore(database: Database): CountStore {
  const limiter = new RateLimiterPostgres({
    storeClient: { query: runWith(database) },
    storeType: "client",
    tableName: "throttle",
    tableCreated: true,
    keyPrefix: "",
    clearExpiredByTimeout: false, // the sweep does
    points: Number.MAX_SAFE_INTEGER, // who asks compares with the limit
    duration: windowSeconds,
  });
  return {
    async add(key) {
      const { consumedPoints: points, msBeforeNext } = await limiter.penalty(key);
      if (msBeforeNext <= windowMs) return { points, endsAt: Date.now() + msBeforeNext };
      // The clock was set back: a lockout would last until it has caught up.
      await limiter.delete(key);
      return this.add(key);
    },
    async remove(key) {
      await limiter.reward(key);
    },
    async read(key) {
      const found = await limiter.get(key);
      const isThere = found !== null && found.msBeforeNext <= windowMs;
      return isThere
        ? { points: found.consumedPoints, endsAt: Date.now() + found.msBeforeNext }
        : { points: 0, endsAt: Date.now() };
    },
  };
}

/**
 * The limiter's statements, by the way that all queries go: bounded in time, and an outage is a
 * problem. They may be repeated: to count twice is to err on the safe side.
 */
const runWith =
  (database: Database) =>
  ({ text, values }: { text: string; values: unknown[] }): Promise<unknown> => {
    const bindings = Object.fromEntries(values.map((value, index) => [`v${index + 1}`, value]));
    return database.read((knex) => knex.raw(text.replace(/\$(\d)/g, ":v$1"), bindings as never));
  };
