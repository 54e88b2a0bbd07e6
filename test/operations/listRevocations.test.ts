import { expect } from "vitest";
import { encodeCursor, parseCursor } from "../../src/revocations/cursor.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { createFollower, type Follower, revocationsAfter } from "../support/follower.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const list = (query: string) => service.send("GET", `/api/revocations?${query}`, { basic });
const { username } = await service.register();

/** Revokes a token. Returns its `jti`. */
async function revokeToken(): Promise<string> {
  const bearer = await service.token(username);
  expect((await service.send("DELETE", "/api/token", { bearer })).status).toBe(204);
  return JSON.parse(Buffer.from(bearer.split(".")[1] ?? "", "base64url").toString()).jti;
}

const current = await list("");
const cursor = parseCursor(current.json.next);
if (!cursor) throw new Error("The cursor of a response is not valid.");
const asText = (...parts: unknown[]) => Buffer.from(parts.join(";")).toString("base64url");
const { server, snapshot } = cursor.position;

describeOperation("listRevocations", {
  service,
  request: () => ({ basic }),
  isVariable: true,
  cases: {
    200: {
      "with the whole list, and then with what is new": async () => {
        const before = await revokeToken();
        const follower = createFollower({ basic });
        await follower.catchUp(service.send);
        expect(follower.minimumEpochs.get(before)).toBe(2_147_483_647);
        expect((await follower.poll(service.send)).json).toMatchObject({ entries: [], has_more: false });
        const after = await revokeToken();
        const { json } = await follower.poll(service.send, 10);
        expect(json).toEqual({
          entries: [{ subject: after, minimum_epoch: 2_147_483_647, expires_at: expect.stringMatching(/^\d{4}-.*Z$/) }],
          next: expect.any(String),
          has_more: false,
          complete_at_offset_ms: expect.any(Number),
        });
      },
      "with the whole list in pages, which contain each entry": async () => {
        const subjects = await service.sql(
          `INSERT INTO revocations (subject, minimum_epoch, expires_at)
            SELECT gen_random_uuid(), 1, now() + interval '1 hour' FROM generate_series(1, 2500) RETURNING subject`,
        );
        const missing = ({ minimumEpochs }: Follower) =>
          subjects.filter(({ subject }) => !minimumEpochs.has(String(subject)));
        const first = createFollower({ basic });
        // Rows that no request has written are found with the next read of the list, within a second.
        for (let polls = 0; polls < 20 && missing(first).length > 0; polls += 1) await first.poll(service.send, 1);
        expect(missing(first)).toEqual([]);
        const follower = createFollower({ basic });
        let pages = 0;
        do {
          const { json } = await follower.poll(service.send);
          expect(json.entries.length).toBeLessThanOrEqual(2000);
          pages += 1;
          if (!json.has_more) break;
        } while (pages < 100);
        expect(pages).toBeGreaterThan(2);
        expect(missing(follower)).toEqual([]);
      },
    },
    400: {
      ...each(
        "for ?%s",
        [
          ["wait=31"],
          ["wait=-1"],
          ["wait=1e1"],
          ["wait=1.5"],
          ["wait=%2B1"],
          ["wait="],
          ["after="],
          ["after=a%00b"],
          [`after=${"A".repeat(5000)}`],
        ],
        async (query) => {
          expect(await list(query)).toMatchObject({ status: 400, problem: "invalid-request" });
        },
      ),
      ...each(
        "for a cursor that is %s",
        [
          ["not one", "x"],
          ["not canonical", `${current.json.next}A`],
          ["of a later version", asText(2, server, cursor.atMs, snapshot)],
          ["cut off", current.json.next.slice(0, -4)],
          ["without a snapshot", asText(1, server, cursor.atMs, "")],
          ["of no server", asText(1, "'; DROP TABLE users; --", cursor.atMs, snapshot)],
          ["of no time", asText(1, server, "NaN", snapshot)],
          ["with SQL for a snapshot", asText(1, server, cursor.atMs, "1:1:'")],
          ["with a snapshot of transaction 0", asText(1, server, cursor.atMs, "0:0:")],
          ["with a snapshot that ends before it begins", asText(1, server, cursor.atMs, "9:8:")],
          ["with running transactions out of order", asText(1, server, cursor.atMs, "1:9:5,4")],
          ["with a running transaction outside the snapshot", asText(1, server, cursor.atMs, "1:9:9")],
          [
            "with a transaction that Postgres cannot represent",
            asText(1, server, cursor.atMs, "1:9999999999999999999:"),
          ],
          ["with half a page", asText(1, server, cursor.atMs, snapshot, snapshot)],
          ["with a page of no transaction", asText(1, server, cursor.atMs, snapshot, snapshot, "x", 1)],
          [
            "with a page of an id beyond bigint",
            asText(1, server, cursor.atMs, snapshot, "1:1:", 1, "9223372036854775808"),
          ],
          ["with more parts", asText(1, server, cursor.atMs, snapshot, "1:1:", 1, 1, 1)],
        ],
        async (_label, after) => {
          const answer = await list(`after=${after}`);
          expect(answer).toMatchObject({
            status: 400,
            problem: "invalid-request",
            json: { errors: [{ parameter: "after" }] },
          });
        },
      ),
    },
    410: each(
      "for a cursor that is %s",
      [
        ["of another server", { ...cursor, position: { ...cursor.position, server: "2020-01-01 00:00:00+00" } }],
        ["too old", { position: { server, snapshot: "4:4:" }, atMs: cursor.atMs - 300_000 }],
        [
          "a page that is too old",
          { ...cursor, atMs: cursor.atMs - 300_000, page: { base: "1:1:", xid: "4", id: "1" } },
        ],
        [
          "from before the clock was set back",
          { position: { server, snapshot: "4:4:" }, atMs: cursor.atMs + 3_600_000 },
        ],
      ],
      async (_label, expired) => {
        const after = encodeCursor(expired);
        for (const wait of [0, 10]) {
          const answer = await service.send("GET", revocationsAfter(after, wait), { basic });
          expect(answer).toMatchObject({ status: 410, problem: "cursor-expired" });
          expect(answer.json.detail).toContain("without after");
        }
      },
    ),
  },
});
