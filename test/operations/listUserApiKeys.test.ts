import { expect } from "vitest";
import { createKey } from "../support/apiKeys.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const { id } = await service.register("miguel");
const basic = await service.administrator();
const list = (id: string, sent: object = { basic }) => service.send("GET", `/api/users/${id}/api-keys`, sent);

describeOperation("listUserApiKeys", {
  service,
  target: `/api/users/${id}/api-keys`,
  request: () => ({ basic }),
  cases: {
    200: {
      "with the keys of that user, in pages, and without their secrets": async () => {
        const keys = [await createKey(service, "miguel"), await createKey(service, "miguel")];
        const first = await service.send("GET", `/api/users/${id}/api-keys?limit=1`, { basic });
        expect(first.json.api_keys).toMatchObject([{ id: keys[1]?.id }]);
        const second = await service.send("GET", `/api/users/${id}/api-keys?after=${first.json.next}`, { basic });
        expect(second.json).toMatchObject({ api_keys: [{ id: keys[0]?.id }], next: null });
        for (const { key } of keys) expect(first.text + second.text).not.toContain(key);
      },
      "also to a key with the scope": async () => {
        const { key } = await createKey(service, { basic }, { scopes: ["users:read"] });
        expect((await list(id.toUpperCase(), { bearer: key })).status).toBe(200);
      },
    },
    403: {
      "to a key without the scope, whatever its user may do": async () => {
        const { key } = await createKey(service, { basic }, { scopes: ["users:write"] });
        const answer = await list(id, { bearer: key });
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "users:read" } });
      },
    },
    404: {
      "for an unknown user": async () => {
        const answer = await list("01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
