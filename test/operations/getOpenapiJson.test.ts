import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { parse } from "yaml";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getOpenapiJson", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with the contract of openapi.yaml": async () => {
        const answer = await service.send("GET", "/openapi.json");
        expect(answer.status).toBe(200);
        expect(answer.json).toEqual(parse(readFileSync("openapi.yaml", "utf8")));
      },
    },
  },
});
