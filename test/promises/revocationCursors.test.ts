/** The cursors of the revocation feed, and what an instance keeps to answer them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { userId } from "../../src/identifiers.ts";
import { type Cursor, encodeCursor, parseCursor } from "../../src/revocations/cursor.ts";
import { isAtLeast, isSnapshot, limitSnapshot } from "../../src/revocations/position.ts";
import { createRecentEntries, pageSize } from "../../src/revocations/recentEntries.ts";

const server = "2026-11-23 08:00:00.123456+00";

describe("a cursor", () => {
  test("is text that fits into a URL, also if it lists as many transactions as it can", () => {
    const running = Array.from({ length: 200 }, (_, index) => String(9_000_000_000_000_000_000n + BigInt(index)));
    const snapshot = limitSnapshot(`${running[0]}:9100000000000000000:${running.join(",")}`);
    const page = { base: snapshot, xid: "9223372036854775807", id: "9223372036854775807" };
    const cursor = { position: { server, snapshot }, atMs: 1_795_426_200_000, page };
    const text = encodeCursor(cursor);
    expect(text).toMatch(/^[A-Za-z0-9_-]{1,4096}$/);
    expect(parseCursor(text)).toEqual(cursor);
  });

  test("that is changed in any way is either another valid cursor or none", () => {
    const text = encodeCursor({
      position: { server, snapshot: "750:760:751,755" },
      atMs: 1_795_426_200_000,
      page: { base: "700:700:", xid: "749", id: "12" },
    });
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (index, inserted) => {
        const changed = text.slice(0, index) + inserted + text.slice(index + 1);
        const cursor = parseCursor(changed);
        if (cursor === undefined) return;
        expect(encodeCursor(cursor)).toBe(changed);
        expect([cursor.position.snapshot, cursor.page?.base ?? "1:1:"].every(isSnapshot)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test("whose time begins with a zero is none", () => {
    const parse = (time: string) => parseCursor(Buffer.from(`1;${server};${time};750:760:`).toString("base64url"));
    expect(parse("795426")?.atMs).toBe(795_426);
    expect(parse("0795426")).toBeUndefined();
  });

  test("of arbitrary content is none, or one that Postgres accepts", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.stringMatching(/^[0-9:,;]*$/)), { maxLength: 8 }), (parts) => {
        const cursor = parseCursor(Buffer.from(["1", server, ...parts].join(";")).toString("base64url"));
        if (cursor) expect(isSnapshot(cursor.position.snapshot)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

/** A database in which transactions begin and end. Its snapshots are in the order of time. */
const history = fc.array(fc.record({ begins: fc.boolean(), pick: fc.nat(1_000) }), { minLength: 1, maxLength: 300 });

function* snapshotsOf(steps: { begins: boolean; pick: number }[]) {
  let next = 700n;
  const running: bigint[] = [];
  for (const { begins, pick } of steps) {
    if (begins || running.length === 0) running.push(next++);
    else running.splice(pick % running.length, 1);
    yield { text: `${running[0] ?? next}:${next}:${running.join(",")}`, running: new Set(running), next };
  }
}

describe("snapshots of one server", () => {
  test("are ordered by time, also if they are cut to fit into a cursor", () => {
    fc.assert(
      fc.property(history, fc.nat(300), fc.nat(300), (steps, one, other) => {
        const taken = [...snapshotsOf(steps)];
        const [earlier, later] = [
          taken[Math.min(one, other) % taken.length],
          taken[Math.max(one, other) % taken.length],
        ];
        if (!earlier || !later || taken.indexOf(earlier) > taken.indexOf(later)) return;
        expect(isAtLeast(later.text, earlier.text)).toBe(true);
        expect(isAtLeast(limitSnapshot(later.text), limitSnapshot(earlier.text))).toBe(true);
        const ended = [...earlier.running].some((xid) => !later.running.has(xid));
        if (ended) expect(isAtLeast(earlier.text, later.text)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test("show no transaction that the complete snapshot does not show", () => {
    fc.assert(
      fc.property(history, (steps) => {
        for (const { text, running } of snapshotsOf(steps)) {
          const [, xmax = "0", listed = ""] = limitSnapshot(text).split(":");
          const isShown = (xid: bigint) => xid < BigInt(xmax) && !listed.split(",").includes(String(xid));
          expect([...running].filter(isShown)).toEqual([]);
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("the entries that an instance keeps", () => {
  const position = (xid: number) => ({ server, snapshot: `${xid}:${xid}:` });
  const at = (xid: number): Cursor => ({ position: position(xid), atMs: 0 });
  const entriesOf = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      subject: userId(`subject ${from + index}`),
      minimumEpoch: 1,
      expiresAt: new Date(0),
      xid: String(from + index),
      id: String(from + index),
    }));
  /** Follows from a cursor to the end. */
  const follow = (recent: ReturnType<typeof createRecentEntries>, start: Cursor) => {
    const subjects: string[] = [];
    for (let cursor = start, pages = 0; pages < 100; pages += 1) {
      const found = recent.since(cursor);
      if (!found) return undefined;
      expect(found.entries.length).toBeLessThanOrEqual(pageSize);
      subjects.push(...found.entries.map(({ subject }) => subject));
      cursor = found.next;
      if (!found.hasMore) return { subjects, next: cursor };
    }
    throw new Error("The pages do not end.");
  };

  test("are delivered from every position, and none is delivered to a client at the head", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    for (let xid = 100; xid < 110; xid += 1) {
      recent.append({ entries: entriesOf(xid, 1), target: position(xid + 1), isLast: true }, 0);
    }
    for (let xid = 100; xid <= 110; xid += 1) expect(follow(recent, at(xid))?.subjects).toHaveLength(110 - xid);
    expect(recent.since(at(99))).toBeUndefined();
    expect(recent.since({ ...at(105), position: { ...position(105), server: "another" } })).toBeUndefined();
  });

  test("do not repeat for a client that was at the head before reads that found nothing", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    recent.append({ entries: entriesOf(100, 1), target: position(101), isLast: true }, 1);
    for (let xid = 102; xid < 200; xid += 1) recent.append({ entries: [], target: position(xid), isLast: true }, xid);
    expect(recent.since(at(101))).toMatchObject({ entries: [], next: { ...at(199), atMs: 199 }, hasMore: false });
    expect(recent.since(at(150))).toMatchObject({ entries: [], hasMore: false });
    expect(follow(recent, at(100))?.subjects).toHaveLength(1);
  });

  test("a client that another instance has brought further keeps its position", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    expect(recent.since(at(120))).toEqual({ entries: [], next: at(120), hasMore: false });
    recent.append({ entries: entriesOf(110, 1), target: position(111), isLast: true }, 0);
    expect(recent.since(at(120))).toEqual({ entries: [], next: at(120), hasMore: false });
  });

  test("are delivered in pages, which go on where the previous one ended", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    const target = position(10_000);
    recent.append({ entries: entriesOf(100, 1500), target, isLast: false }, 0);
    recent.append({ entries: entriesOf(1600, 1200), target, isLast: false }, 0);
    recent.append({ entries: [], target, isLast: true }, 0);
    const all = follow(recent, at(100));
    expect(all?.subjects).toEqual(entriesOf(100, 2700).map(({ subject }) => subject));
    expect(all?.next).toEqual(at(10_000));
  });

  test("of a read that failed are delivered, and so is all of its repetition", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    recent.append({ entries: entriesOf(100, 10), target: position(200), isLast: false }, 0);
    const half = recent.since(at(100));
    expect(half?.entries).toHaveLength(10);
    expect(recent.head()).toEqual(at(100));
    recent.append({ entries: entriesOf(100, 20), target: position(300), isLast: true }, 0);
    expect(follow(recent, half?.next ?? at(0))?.subjects).toHaveLength(20);
    expect(recent.head()).toEqual(at(300));
  });

  test("are one list for all clients that lack the same, until there are more", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    recent.append({ entries: entriesOf(100, 2), target: position(102), isLast: true }, 0);
    recent.append({ entries: entriesOf(102, 1), target: position(103), isLast: true }, 0);
    const found = recent.since(at(100));
    expect(found?.entries).toHaveLength(3);
    expect(recent.since(at(101))?.entries).toBe(found?.entries);
    expect(recent.since(at(102))?.entries).toHaveLength(1);
    recent.append({ entries: entriesOf(103, 1), target: position(104), isLast: true }, 0);
    expect(recent.since(at(100))?.entries).toHaveLength(4);
    recent.restart(position(100), 0);
    expect(recent.since(at(100))?.entries).toEqual([]);
  });

  test("are bounded: a client that lacks older ones is sent to the database", () => {
    const recent = createRecentEntries();
    recent.restart(position(100), 0);
    for (let xid = 100; xid < 130_100; xid += 1000) {
      recent.append({ entries: entriesOf(xid, 1000), target: position(xid + 1000), isLast: true }, 0);
    }
    expect(recent.since(at(100))).toBeUndefined();
    expect(recent.since(at(119_100))).toBeUndefined();
    expect(follow(recent, at(120_100))?.subjects).toHaveLength(10_000);
  });
});
