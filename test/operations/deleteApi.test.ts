import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const register = () =>
  service.send("POST", "/api/apis", { basic, json: { audience: "orders", name: "Orders", scopes: [] } });

describeOperation("deleteApi", {
  service,
  target: "/api/apis/orders",
  request: async () => {
    await register();
    return { basic };
  },
  cases: {
    204: {
      "after which it is unknown, and can be registered again": async () => {
        await register();
        expect((await service.send("DELETE", "/api/apis/orders", { basic })).status).toBe(204);
        expect((await service.send("GET", "/api/apis/orders", { basic })).status).toBe(404);
        expect((await register()).status).toBe(201);
      },
    },
    400: {
      "for a malformed audience": async () => {
        const answer = await service.send("DELETE", "/api/apis/%23", { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    },
    404: {
      "for an audience that is not registered": async () => {
        const answer = await service.send("DELETE", "/api/apis/unknown", { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
