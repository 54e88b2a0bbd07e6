import { expect } from "vitest";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
await service.register("susan");
const basic: [string, string] = ["miguel", password];

describeOperation("deleteApiKey", {
  service,
  target: `/api/api-keys/${(await createKey(service, "miguel")).id}`,
  request: () => ({ basic }),
  cases: {
    204: {
      "and this instance rejects the key at once; another one is still accepted": async () => {
        const [one, other] = [await createKey(service, "miguel"), await createKey(service, "miguel")];
        expect([await use(service, one.key), await use(service, other.key)]).toEqual([200, 200]);
        expect((await service.send("DELETE", `/api/api-keys/${one.id}`, { basic })).status).toBe(204);
        expect([await use(service, one.key), await use(service, other.key)]).toEqual(["invalid-token", 200]);
      },
    },
    404: {
      "for another user's key, which stays, and for a deleted one": async () => {
        const [foreign, deleted] = [await createKey(service, "susan"), await createKey(service, "miguel")];
        await service.send("DELETE", `/api/api-keys/${deleted.id}`, { basic });
        for (const { id } of [foreign, deleted]) {
          const answer = await service.send("DELETE", `/api/api-keys/${id}`, { basic });
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        }
        expect(await use(service, foreign.key)).toBe(200);
      },
    },
  },
});
