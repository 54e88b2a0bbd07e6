import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const list = async (query: string) => (await service.send("GET", `/api/audit-events?${query}`, { basic })).json;

describeOperation("listAuditEvents", {
  service,
  request: () => ({ basic }),
  isVariable: true, // the events of earlier requests are stored meanwhile
  cases: {
    200: {
      "with why a request was refused, by its id": async () => {
        const { id } = await service.register("susan");
        const refused = await service.send("GET", "/api/resource", { basic: ["susan", "wrong password"] });
        const requestId = refused.header("x-request-id");
        const { events, next } = await eventually(
          () => list(`request_id=${requestId}`),
          ({ events }) => events.length > 0,
        );
        expect(events).toEqual([
          {
            id: expect.stringMatching(/^\d+$/),
            occurred_at: expect.stringMatching(/^\d{4}-.*Z$/),
            event: "password-refused",
            actor: { id: null, name: null },
            subject: { id, name: "susan" },
            address: "127.0.0.1",
            request_id: requestId,
            details: { reason: "wrong-password" },
          },
        ]);
        expect(next).toBeNull();
      },
      "with the events of a user, newest first, in pages without gaps": async () => {
        const { id } = await service.register("pageful");
        const sent = { basic: ["pageful", password] as [string, string] };
        for (let count = 0; count < 3; count += 1) await service.send("POST", "/api/sessions", sent);
        await eventually(
          () => list(`subject_id=${id}`),
          ({ events }) => events.length === 7,
        );
        const seen: { id: string; event: string }[] = [];
        for (let after = ""; ; ) {
          const { events, next } = await list(`subject_id=${id}&limit=3${after}`);
          seen.push(...events);
          if (next === null) break;
          after = `&after=${next}`;
        }
        const ids = seen.map(({ id }) => Number(id));
        expect(ids).toEqual([...ids].sort((a, b) => b - a));
        // A UUID in upper case is the same id.
        for (const same of [id, id.toUpperCase()]) {
          const { events } = await list(`subject_id=${same}&event=session-created&actor_id=${same}`);
          expect(events).toHaveLength(3);
        }
        expect(seen.map(({ event }) => event).sort()).toEqual([
          "password-accepted",
          "password-accepted",
          "password-accepted",
          "session-created",
          "session-created",
          "session-created",
          "user-registered",
        ]);
      },
    },
    400: each(
      "for ?%s",
      [["limit=0"], ["limit=101"], ["after=x"], ["after=-1"], ["subject_id=x"], ["request_id=1"], ["event=A"]],
      async (query) => {
        const answer = await service.send("GET", `/api/audit-events?${query}`, { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    ),
  },
});

/** Events are stored within a second. */
async function eventually<T>(read: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  for (const deadline = performance.now() + 3_000; ; ) {
    const value = await read();
    if (isDone(value) || performance.now() > deadline) return value;
  }
}
