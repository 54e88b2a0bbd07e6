import { RateLimiterPostgres } from "rate-limiter-flexible";
import type { Database } from "../database/database.ts";
import { type CountStore, windowSeconds } from "./throttling.ts";

export function countStore(database: Database): CountStore {
  const limiter = new RateLimiterPostgres({
    storeClient: { query: runWith(database) },
    storeType: "client",
    tableName: "throttle",
    tableCreated: true,
    keyPrefix: "",
    clearExpiredByTimeout: false, // the sweep does
    points: Number.MAX_SAFE_INTEGER, // who asks compares with the limit
    // The keys have their windows in them. By this a row is only forgotten: late, since the limiter goes
    // by the clock of its instance.
    duration: 8 * windowSeconds,
  });
  return {
    add: async (key) => (await limiter.penalty(key)).consumedPoints,
    async remove(key) {
      await limiter.reward(key);
    },
    read: async (key) => (await limiter.get(key))?.consumedPoints ?? 0,
  };
}

/**
 * The limiter's statements, by the way that all queries go: bounded in time, and an outage is a
 * problem. To count one more twice errs on the safe side, and so may be repeated; one less may not.
 */
const runWith =
  (database: Database) =>
  ({ text, values }: { text: string; values: unknown[] }): Promise<unknown> => {
    const bindings = Object.fromEntries(values.map((value, index) => [`v${index + 1}`, value]));
    const run = values[1] === -1 ? database.write : database.read;
    return run((knex) => knex.raw(text.replace(/\$(\d)/g, ":v$1"), bindings as never));
  };
