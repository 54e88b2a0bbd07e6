import { expect } from "vitest";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const miguel = await service.register("miguel");
const basic = await service.administrator();
const newTarget = async () => `/api/users/${miguel.id}/api-keys/${(await createKey(service, "miguel")).id}`;

describeOperation("deleteUserApiKey", {
  service,
  target: await newTarget(),
  request: () => ({ basic }),
  cases: {
    204: {
      "and this instance rejects the key at once": async () => {
        const { id, key } = await createKey(service, "miguel");
        expect(await use(service, key)).toBe(200);
        expect((await service.send("DELETE", `/api/users/${miguel.id}/api-keys/${id}`, { basic })).status).toBe(204);
        expect(await use(service, key)).toBe("invalid-token");
      },
    },
    403: {
      "for a user who has more scopes than the caller": async () => {
        await service.sql("INSERT INTO roles (name, scopes) VALUES ('support', '{users:write}')");
        const support = await service.register("support");
        await service.sql("INSERT INTO user_roles (user_id, role) VALUES ($1, 'support')", [support.id]);
        const { id: administratorId } = (await service.send("GET", "/api/users/me", { basic })).json;
        const { id, key } = await createKey(service, { basic });
        const asSupport = { basic: ["support", password] as [string, string] };
        const answer = await service.send("DELETE", `/api/users/${administratorId}/api-keys/${id}`, asSupport);
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
        expect(answer.json.scope).toContain("users:read");
        expect(await use(service, key)).toBe(200);
        expect((await service.send("DELETE", await newTarget(), asSupport)).status).toBe(204);
      },
    },
    404: {
      "for a key of another user than the path names": async () => {
        const { id, key } = await createKey(service, "miguel");
        const other = await service.register("susan");
        for (const userId of [other.id, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b"]) {
          const answer = await service.send("DELETE", `/api/users/${userId}/api-keys/${id}`, { basic });
          expect(answer).toMatchObject({ status: 404, problem: "not-found" });
        }
        expect(await use(service, key)).toBe(200);
      },
    },
  },
});
