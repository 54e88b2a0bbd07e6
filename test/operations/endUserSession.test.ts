import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const mine: [string, string] = ["miguel", password];
const miguel = await service.register("miguel");
const { id } = (await service.send("POST", "/api/sessions", { basic: mine })).json;
const target = `/api/users/${miguel.id}/sessions/${id}`;

describeOperation("endUserSession", {
  service,
  target,
  request: async () => {
    // An earlier case has ended it.
    await service.sql("UPDATE sessions SET ended_at = NULL WHERE id = $1", [id]);
    return { basic };
  },
  cases: {
    204: {
      "and ends this session only": async () => {
        const start = async () => (await service.send("POST", "/api/sessions", { basic: mine })).json;
        const [one, other] = [await start(), await start()];
        const end = () => service.send("DELETE", `/api/users/${miguel.id}/sessions/${one.id}`, { basic });
        expect((await end()).status).toBe(204);
        const get = (bearer: string) => service.send("GET", "/api/resource", { bearer });
        expect(await get(one.access_token)).toMatchObject({ status: 401, problem: "token-revoked" });
        expect((await get(other.access_token)).status).toBe(200);
        expect(await end()).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    404: {
      "for a session of another user": async () => {
        const own = (await service.send("POST", "/api/sessions", { basic })).json;
        const answer = await service.send("DELETE", `/api/users/${miguel.id}/sessions/${own.id}`, { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        expect((await service.send("GET", "/api/resource", { bearer: own.access_token })).status).toBe(200);
      },
      "for an unknown user": async () => {
        const unknown = `/api/users/01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b/sessions/${id}`;
        expect(await service.send("DELETE", unknown, { basic })).toMatchObject({ status: 404 });
      },
    },
  },
});
