import { expect } from "vitest";
import { createKey } from "../support/apiKeys.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const expires_at = new Date(Date.now() + 3_600_000).toISOString();
const { id, key } = await createKey(service, "miguel", { expires_at });

describeOperation("getApiKey", {
  service,
  target: `/api/api-keys/${id}`,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the last four characters of each secret, and no more of them": async () => {
        const answer = await service.send("GET", `/api/api-keys/${id.toUpperCase()}`, { basic });
        expect(answer.json).toMatchObject({ id, name: "cron", scopes: [], expires_at });
        expect(answer.json.secrets).toMatchObject([{ last_four: key.slice(-4), expires_at: null, last_used_at: null }]);
        expect(answer.text).not.toContain(key.slice(0, 10));
      },
    },
    404: {
      "for another user's key, a deleted one and an unknown one alike": async () => {
        await service.register("susan");
        const foreign = await createKey(service, "susan");
        const deleted = await createKey(service, "miguel");
        await service.send("DELETE", `/api/api-keys/${deleted.id}`, { basic });
        for (const other of [foreign.id, deleted.id, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"]) {
          const answer = await service.send("GET", `/api/api-keys/${other}`, { basic });
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        }
      },
    },
  },
});
