import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const target = `/api/apis/${encodeURIComponent("https://orders.example/v1")}`;
const scopes = [{ name: "orders:read", description: "See orders." }];
const api = { audience: "https://orders.example/v1", name: "Orders", scopes, token_lifetime_seconds: 300 };
await service.send("POST", "/api/apis", { basic, json: api });
const { audience: _, ...reset } = api;
const contract = {
  openapi: "3.1.0",
  paths: { "/orders": { get: { security: [{ token: ["orders:read"] }] } } },
  components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
};
const patch = (json: unknown) => service.send("PATCH", target, { basic, json });

describeOperation("updateApi", {
  service,
  target,
  request: () => ({ basic, json: { name: "Orders" } }),
  cases: {
    200: {
      "with each member that it changes, and the others as they were": async () => {
        expect(await patch({ name: "All orders" })).toMatchObject({
          status: 200,
          json: { ...api, name: "All orders" },
        });
        const more = [...scopes, { name: "orders:write", description: "" }];
        expect((await patch({ scopes: more })).json).toMatchObject({ ...api, name: "All orders", scopes: more });
        expect((await patch({ token_lifetime_seconds: null })).json.token_lifetime_seconds).toBeNull();
        expect((await patch(reset)).json).toMatchObject(api);
      },
      "with a contract, and without it again": async () => {
        expect((await patch({ contract })).json).toMatchObject({ ...api, has_contract: true });
        expect((await patch({ name: "Orders" })).json.has_contract).toBe(true);
        const renamed = [{ name: "orders:see", description: "" }];
        const replaced = JSON.stringify(contract).replace("orders:read", "orders:see");
        expect((await patch({ scopes: renamed, contract: replaced })).json).toMatchObject({ scopes: renamed });
        expect((await patch({ contract: null })).json.has_contract).toBe(false);
        expect((await patch(reset)).json).toMatchObject({ ...api, has_contract: false });
      },
    },
    400: {
      ...each<[string, unknown]>(
        "for %s",
        [
          ["nothing to change", {}],
          ["another audience", { audience: "orders" }],
          ["an empty name", { name: "" }],
          ["a scope of this service", { scopes: [{ name: "account:read", description: "" }] }],
          ["a repeated scope", { scopes: [...scopes, ...scopes] }],
        ],
        async (_label, json) => {
          expect(await patch(json)).toMatchObject({ status: 400, problem: "invalid-request" });
        },
      ),
      "for a contract that requires a scope which the API does not have, or would lose": async () => {
        const unknown = await patch({ contract: JSON.stringify(contract).replace("orders:read", "orders:delete") });
        expect(unknown).toMatchObject({ status: 400, json: { errors: [{ pointer: "#/contract" }] } });
        expect((await patch({ contract })).status).toBe(200);
        const lost = await patch({ scopes: [] });
        expect(lost).toMatchObject({ status: 400, json: { errors: [{ pointer: "#/scopes" }] } });
        expect(lost.json.errors[0].detail).toContain("orders:read");
        expect((await patch({ scopes: [], contract: null })).status).toBe(200);
        expect((await patch(reset)).status).toBe(200);
      },
    },
    404: {
      "for an audience that is not registered": async () => {
        const answer = await service.send("PATCH", "/api/apis/unknown", { basic, json: { name: "Unknown" } });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
