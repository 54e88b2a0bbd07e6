import { expect } from "vitest";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();

describeOperation("getJwks", {
  service,
  request: () => ({}),
  cases: {
    200: {
      "with public keys only, to everyone, and cacheable": async () => {
        const answer = await service.send("GET", "/.well-known/jwks.json");
        expect(answer.status).toBe(200);
        expect(answer.json.keys).toHaveLength(2); // the current key and the next one
        const members = ["alg", "crv", "kid", "kty", "use", "x", "y"];
        for (const key of answer.json.keys) expect(Object.keys(key).sort()).toEqual(members);
        expect(answer.header("cache-control")).toBe("public, max-age=300");
      },
    },
  },
});
