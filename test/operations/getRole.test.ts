import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();

describeOperation("getRole", {
  service,
  target: "/api/roles/default",
  request: () => ({ basic }),
  cases: {
    200: each<[string, boolean]>(
      "for the built-in role %s",
      [
        ["default", true],
        ["administrator", true],
      ],
      async (name, built_in) => {
        const answer = await service.send("GET", `/api/roles/${name}`, { basic });
        expect(answer).toMatchObject({ status: 200, json: { name, built_in, scopes: [] } });
      },
    ),
    400: each("for the name %s", [["Default"], ["%20"]], async (name) => {
      const answer = await service.send("GET", `/api/roles/${name}`, { basic });
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }),
    404: {
      "for an unknown role": async () => {
        const answer = await service.send("GET", "/api/roles/unknown", { basic });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
