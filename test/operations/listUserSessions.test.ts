import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const miguel = await service.register("miguel");
const target = `/api/users/${miguel.id}/sessions`;

describeOperation("listUserSessions", {
  service,
  target,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the user's live sessions, the newest first, in pages": async () => {
        const ids: string[] = [];
        for (let count = 0; count < 3; count += 1) {
          const sent = {
            basic: ["miguel", password] as [string, string],
            headers: { "user-agent": `client ${count}` },
          };
          ids.unshift((await service.send("POST", "/api/sessions", sent)).json.id);
        }
        await service.send("POST", "/api/sessions", { basic });
        const first = (await service.send("GET", `${target}?limit=2`, { basic })).json;
        expect(first.sessions).toMatchObject([
          { id: ids[0], user_agent: "client 2", current: false },
          { id: ids[1], user_agent: "client 1" },
        ]);
        const second = (await service.send("GET", `${target}?limit=2&after=${first.next}`, { basic })).json;
        expect(second).toMatchObject({ sessions: [{ id: ids[2] }], next: null });
      },
      "and marks the session of the token as current": async () => {
        const { id, access_token } = (await service.send("POST", "/api/sessions", { basic })).json;
        const me = (await service.send("GET", "/api/users/me", { basic })).json;
        const own = await service.send("GET", `/api/users/${me.id}/sessions?limit=1`, { bearer: access_token });
        expect(own.json.sessions).toMatchObject([{ id, current: true }]);
      },
    },
    400: each("for ?%s", [["limit=0"], ["limit=101"], ["after=x"], ["after="]], async (query) => {
      expect(await service.send("GET", `${target}?${query}`, { basic })).toMatchObject({ status: 400 });
    }),
    404: {
      "for an unknown id": async () => {
        const unknown = "/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b/sessions";
        expect(await service.send("GET", unknown, { basic })).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
