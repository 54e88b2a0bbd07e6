import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getLiveness", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "also while the database is away, since a restart would not help": async () => {
        expect(await service.send("GET", "/livez")).toMatchObject({ status: 200, json: { status: "ok" } });
        await service.withoutDatabase(async () => {
          expect((await service.send("GET", "/livez")).status).toBe(200);
        });
      },
    },
  },
});
