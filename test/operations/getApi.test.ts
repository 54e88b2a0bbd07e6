import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const api = { audience: "https://orders.example/v1", name: "Orders", scopes: [] };
await service.send("POST", "/api/apis", { basic, json: api });
const target = `/api/apis/${encodeURIComponent(api.audience)}`;

describeOperation("getApi", {
  service,
  target,
  request: () => ({ basic }),
  cases: {
    200: {
      "with its name and scopes": async () => {
        const answer = await service.send("GET", target, { basic });
        expect(answer).toMatchObject({ status: 200, json: { ...api, token_lifetime_seconds: null } });
      },
    },
    400: each("for the audience %s", [["%00"], ["%20orders"], ["orders%23v1"]], async (audience) => {
      const answer = await service.send("GET", `/api/apis/${audience}`, { basic });
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }),
    404: each("for %s, which is not registered", [["orders"], ["https%3A%2F%2Forders.example"]], async (audience) => {
      const answer = await service.send("GET", `/api/apis/${audience}`, { basic });
      expect(answer).toMatchObject({ status: 404, problem: "not-found" });
    }),
  },
});
