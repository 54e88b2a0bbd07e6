import { expect } from "vitest";
import { createKey } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];

describeOperation("listApiKeys", {
  service,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the caller's keys, the newest first, in pages, and without their secrets": async () => {
        const keys = [];
        for (const name of ["one", "two", "three"]) keys.unshift(await createKey(service, "miguel", { name }));
        await service.register("susan");
        await createKey(service, "susan");
        const idsOf = ({ json }: { json: { api_keys: { id: string }[] } }) => json.api_keys.map(({ id }) => id);
        const first = await service.send("GET", "/api/api-keys?limit=2", { basic });
        expect(idsOf(first)).toEqual(keys.slice(0, 2).map(({ id }) => id));
        const second = await service.send("GET", `/api/api-keys?limit=2&after=${first.json.next}`, { basic });
        expect(idsOf(second)).toEqual(keys.slice(2).map(({ id }) => id));
        expect(second.json.next).toBeNull();
        for (const { key } of keys) expect(first.text + second.text).not.toContain(key);
      },
    },
    400: each(
      "for ?%s",
      [["limit=0"], ["limit=101"], ["limit=x"], ["after=x"], ["after="], ["cursor=x"]],
      async (query) => {
        const answer = await service.send("GET", `/api/api-keys?${query}`, { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
    ),
  },
});
