import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const define = () => service.send("PUT", "/api/roles/clerk", { basic, json: { scopes: ["roles:read"] } });

describeOperation("deleteRole", {
  service,
  target: "/api/roles/clerk",
  request: async () => {
    await define();
    return { basic };
  },
  cases: {
    204: {
      "and takes the role from its users": async () => {
        await define();
        const { id, username } = await service.register();
        await service.sql("INSERT INTO user_roles (user_id, role) VALUES ($1, 'clerk')", [id]);
        const bearer = await service.token(username);
        expect((await service.send("GET", "/api/roles", { bearer })).status).toBe(200);
        const target = `/api/users/${id}`;
        const before = await service.send("GET", target, { basic });
        expect((await service.send("DELETE", "/api/roles/clerk", { basic })).status).toBe(204);
        expect(await service.send("GET", "/api/roles", { bearer })).toMatchObject({ status: 403 });
        expect((await service.send("GET", "/api/roles/clerk", { basic })).status).toBe(404);
        // An administrator who decided before the deletion has to decide again.
        expect((await service.send("GET", target, { basic })).json.roles).toEqual([]);
        const headers = { "if-match": before.header("etag") ?? "" };
        const late = await service.send("PATCH", target, { basic, headers, json: { blocked: true } });
        expect(late).toMatchObject({ status: 412, problem: "precondition-failed" });
        // A new role of the same name is not theirs.
        await define();
        expect(await service.send("GET", "/api/roles", { bearer })).toMatchObject({ status: 403 });
      },
    },
    400: {
      "for a malformed name": async () => {
        const answer = await service.send("DELETE", "/api/roles/Clerk", { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
    404: {
      "for an unknown role": async () => {
        const answer = await service.send("DELETE", "/api/roles/unknown", { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
    409: each("for %s, which is built in", [["administrator"], ["default"]], async (name) => {
      const answer = await service.send("DELETE", `/api/roles/${name}`, { basic });
      expect(answer).toMatchObject({ status: 409, problem: "built-in-role" });
    }),
  },
});
