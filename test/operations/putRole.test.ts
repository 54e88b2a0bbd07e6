import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const put = (name: string, json: unknown) => service.send("PUT", `/api/roles/${name}`, { basic, json });
await put("clerk", { scopes: [] });

describeOperation("putRole", {
  service,
  target: "/api/roles/clerk",
  request: () => ({ basic, json: { description: "Handles orders.", scopes: ["account:read"] } }),
  cases: {
    200: {
      "if the role exists, whose description and scopes it replaces": async () => {
        await put("auditor", { description: "Reads roles.", scopes: ["roles:read"] });
        const answer = await put("auditor", { scopes: ["roles:write", "apis:read"] });
        expect(answer).toMatchObject({
          status: 200,
          json: { name: "auditor", description: "", scopes: ["apis:read", "roles:write"], built_in: false },
        });
        expect((await service.send("GET", "/api/roles/auditor", { basic })).json).toEqual(answer.json);
      },
      "for the role of every user": async () => {
        const answer = await put("default", { scopes: ["roles:read"] });
        expect(answer).toMatchObject({ status: 200, json: { scopes: ["roles:read"], built_in: true } });
        await put("default", { scopes: [] });
      },
      "if it keeps a scope whose API was deleted": async () => {
        const api = { audience: "cellar", name: "Cellar", scopes: [{ name: "cellar:open", description: "" }] };
        await service.send("POST", "/api/apis", { basic, json: api });
        await put("keeper", { scopes: ["cellar:open"] });
        await service.send("DELETE", "/api/apis/cellar", { basic });
        expect((await put("keeper", { scopes: ["cellar:open"] })).status).toBe(200);
        expect((await put("other-keeper", { scopes: ["cellar:open"] })).status).toBe(400);
      },
    },
    201: {
      "if it is new, with its path": async () => {
        const answer = await put("courier", { description: "Delivers.", scopes: [] });
        expect(answer).toMatchObject({ status: 201, json: { name: "courier", description: "Delivers.", scopes: [] } });
        expect(answer.header("location")).toBe("/api/roles/courier");
      },
      "with a scope of a registered API": async () => {
        const api = { audience: "orders", name: "Orders", scopes: [{ name: "orders:read", description: "" }] };
        await service.send("POST", "/api/apis", { basic, json: api });
        expect((await put("reader", { scopes: ["orders:read"] })).status).toBe(201);
      },
      "once, if several requests create it at once": async () => {
        const scopes = ["account:read", "account:write", "apis:read", "apis:write", "roles:read"];
        const answers = await Promise.all(scopes.map((scope) => put("racer", { scopes: [scope] })));
        expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 201]);
        const { json } = await service.send("GET", "/api/roles/racer", { basic });
        expect(answers.map((answer) => answer.json.scopes)).toContainEqual(json.scopes);
      },
    },
    400: {
      "for unknown scopes, which it names": async () => {
        const answer = await put("clerk", { scopes: ["account:read", "orders:delete", "users:fly"] });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.json.errors).toEqual([
          { pointer: "#/scopes/1", detail: "orders:delete is not a scope of this service or of a registered API" },
          { pointer: "#/scopes/2", detail: "users:fly is not a scope of this service or of a registered API" },
        ]);
      },
      ...each<[string, unknown]>(
        "for %s",
        [
          ["no scopes", { description: "" }],
          ["a repeated scope", { scopes: ["account:read", "account:read"] }],
          ["a scope with a space", { scopes: ["account:read account:write"] }],
          ["a scope with a quotation mark", { scopes: ['account"read'] }],
          ["a description with a lone surrogate", { description: "\ud800", scopes: [] }],
          ["a description with NUL", { description: "\u0000", scopes: [] }],
          ["an undeclared member", { scopes: [], users: ["miguel"] }],
          ["no object", []],
        ],
        async (_label, json) => {
          expect(await put("clerk", json)).toMatchObject({ status: 400, problem: "invalid-request" });
        },
      ),
      ...each(
        "for the name %s",
        [["Clerk"], ["1clerk"], ["-clerk"], ["order_clerk"], ["%C3%A9"], ["x".repeat(64)]],
        async (name) => {
          expect(await put(name, { scopes: [] })).toMatchObject({ status: 400, problem: "invalid-request" });
        },
      ),
    },
    409: {
      "for administrator, which has every scope": async () => {
        const answer = await put("administrator", { scopes: [] });
        expect(answer).toMatchObject({ status: 409, problem: "built-in-role" });
      },
    },
  },
});
