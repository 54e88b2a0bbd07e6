import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const request = { basic: ["miguel", password] as [string, string] };

describeOperation("getCurrentUser", {
  service,
  request: () => request,
  cases: {
    200: {
      "with the caller, by password and by token": async () => {
        for (const sent of [request, { bearer: await service.token("miguel") }]) {
          expect(await service.send("GET", "/api/users/me", sent)).toMatchObject({ status: 200, json: miguel });
        }
      },
    },
  },
});
