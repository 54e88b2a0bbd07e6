import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

describeOperation("listSessions", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the caller's live sessions, the newest first, in pages": async () => {
        const ids: string[] = [];
        for (let count = 0; count < 5; count += 1) {
          const sent = { basic, headers: { "user-agent": `client ${count}` } };
          ids.unshift((await service.send("POST", "/api/sessions", sent)).json.id);
        }
        await service.register("susan");
        await service.send("POST", "/api/sessions", { basic: ["susan", password] });
        await service.send("DELETE", `/api/sessions/${ids[2]}`, { basic });
        await service.sql("UPDATE sessions SET idle_expires_at = now() WHERE id = $1", [ids[3]]);

        const first = await service.send("GET", "/api/sessions?limit=2", { basic });
        expect(first.json.sessions.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2));
        expect(first.json.sessions[0]).toMatchObject({ user_agent: "client 4", address: "127.0.0.1", current: false });
        const second = await service.send("GET", `/api/sessions?limit=2&cursor=${first.json.next_cursor}`, { basic });
        expect(second.json.sessions.map(({ id }: { id: string }) => id)).toEqual([ids[4]]);
        expect(second.json.next_cursor).toBeNull();
      },
      "and marks the session of the token as current": async () => {
        const { id, access_token } = (await service.send("POST", "/api/sessions", { basic })).json;
        const { json } = await service.send("GET", "/api/sessions?limit=1", { bearer: access_token });
        expect(json.sessions).toMatchObject([{ id, current: true }]);
      },
    },
    400: each(
      "for ?%s",
      [["limit=0"], ["limit=101"], ["limit=x"], ["limit=1.5"], ["limit=1&limit=2"], ["cursor=x"], ["cursor="]],
      async (query) => {
        const answer = await service.send("GET", `/api/sessions?${query}`, { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    ),
  },
});
