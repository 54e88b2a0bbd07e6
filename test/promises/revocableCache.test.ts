/** A cached row is read again after each change, also if the change comes while it is being read. */
import { expect, test } from "vitest";
import { revocableCache } from "../../src/revocations/cache.ts";

type Row = { version: number };

/** A cache of rows that the test changes, and whose reads it delays. */
function cacheOfRows({ maxSize = 100 } = {}) {
  let notify: (subject: string | undefined) => void = () => {};
  const reads: { key: string; end: (row: Row) => void; fail: (error: Error) => void }[] = [];
  const cache = revocableCache<Row>({
    revocations: {
      onEntry(listener) {
        notify = listener;
      },
    },
    load: (key) => new Promise((end, fail) => reads.push({ key, end, fail })),
    subjectsOf: (key) => [`row:${key}`, "every row"],
    maxSize,
  });
  return { cache, reads, change: (subject: string | undefined) => notify(subject) };
}

test("a row is read once, also for concurrent requests", async () => {
  const { cache, reads } = cacheOfRows();
  const both = Promise.all([cache.get("a"), cache.get("a")]);
  reads[0]?.end({ version: 1 });
  expect(await both).toEqual([{ version: 1 }, { version: 1 }]);
  expect(cache.get("a")).toEqual({ version: 1 });
  expect(reads).toHaveLength(1);
});

test.each(["row:a", "every row", undefined])("after a change of %s, it is read again", async (subject) => {
  const { cache, reads, change } = cacheOfRows();
  const first = cache.get("a");
  reads[0]?.end({ version: 1 });
  await first;
  change("row:b");
  expect(cache.get("a")).toEqual({ version: 1 });
  change(subject);
  const second = cache.get("a");
  reads[1]?.end({ version: 2 });
  expect(await second).toEqual({ version: 2 });
  expect(cache.get("a")).toEqual({ version: 2 });
});

test.each(["row:a", undefined])("a read that a change of %s overtakes is not kept", async (subject) => {
  const { cache, reads, change } = cacheOfRows();
  const first = cache.get("a");
  change(subject);
  // A request that comes after the change does not wait for the earlier read.
  const second = cache.get("a");
  expect(reads).toHaveLength(2);
  reads[1]?.end({ version: 2 });
  expect(await second).toEqual({ version: 2 });
  reads[0]?.end({ version: 1 });
  expect(await first).toEqual({ version: 1 });
  expect(cache.get("a")).toEqual({ version: 2 });
});

test("a failed read is repeated", async () => {
  const { cache, reads } = cacheOfRows();
  const first = cache.get("a");
  reads[0]?.fail(new Error("away"));
  await expect(first).rejects.toThrow("away");
  const second = cache.get("a");
  reads[1]?.end({ version: 1 });
  expect(await second).toEqual({ version: 1 });
});

test("the number of rows in memory is bounded, and a forgotten row leaves nothing behind", async () => {
  const { cache, reads, change } = cacheOfRows({ maxSize: 10 });
  for (let row = 0; row < 100; row += 1) {
    const read = cache.get(String(row));
    reads.at(-1)?.end({ version: row });
    await read;
  }
  expect(cache.size()).toBeLessThanOrEqual(20);
  change("every row");
  expect(cache.size()).toBe(0);
});
