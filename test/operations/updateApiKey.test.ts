import { expect } from "vitest";
import { createKey, use } from "../support/apiKeys.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const administrator = await service.administrator();
const { id } = await createKey(service, "miguel");
const change = (id: string, json: object, sent: object = { basic }) =>
  service.send("PATCH", `/api/api-keys/${id}`, { ...sent, json });
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

describeOperation("updateApiKey", {
  service,
  target: `/api/api-keys/${id}`,
  request: () => ({ basic, json: { name: "weekly" } }),
  cases: {
    200: {
      "with the changed key, whose other members stay": async () => {
        const { id, key } = await createKey(service, "miguel", { scopes: ["account:read"] });
        expect((await change(id, { name: "weekly" })).json).toMatchObject({ name: "weekly", scopes: ["account:read"] });
        const expires_at = inAnHour();
        expect((await change(id, { expires_at })).json).toMatchObject({ name: "weekly", expires_at });
        expect((await change(id, { name: "daily" })).json).toMatchObject({ name: "daily", expires_at });
        expect((await change(id, { expires_at: null, scopes: [] })).json).toMatchObject({
          expires_at: null,
          scopes: [],
        });
        expect(await use(service, key)).toBe(200);
      },
      "and this instance applies the scopes and the expiry at once, also to a key in use": async () => {
        const { id: userId } = (await service.send("GET", "/api/users/me", { basic: administrator })).json;
        const { id, key } = await createKey(service, { basic: administrator }, { scopes: ["users:read"] });
        const list = () => service.send("GET", `/api/users/${userId}/api-keys`, { bearer: key });
        expect((await list()).status).toBe(200);
        await change(id, { scopes: [] }, { basic: administrator });
        expect(await list()).toMatchObject({
          status: 403,
          problem: "insufficient-scope",
          json: { scope: "users:read" },
        });
        await change(id, { scopes: ["users:read"], expires_at: inAnHour() }, { basic: administrator });
        expect((await list()).status).toBe(200);
      },
    },
    400: each(
      "for %s",
      [
        ["no change", {}, "#"],
        ["an unknown scope", { scopes: ["everything"] }, "#/scopes/0"],
        ["an expiry in the past", { expires_at: "2020-01-01T00:00:00Z" }, "#/expires_at"],
        ["a name that cannot be displayed", { name: "a\u2028b" }, "#/name"],
        ["the key", { key: "lk_" }, "#/key"],
      ],
      async (_label, json, pointer) => {
        expect(await change(id, json)).toMatchObject({ status: 400, json: { errors: [{ pointer }] } });
      },
    ),
    403: {
      "for a scope that the user does not have": async () => {
        const answer = await change(id, { scopes: ["users:write"] });
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "users:write" } });
      },
      "to let a key with more scopes than the user has by now expire later": async () => {
        const { id } = await createKey(service, "miguel", { expires_at: inAnHour() });
        await service.sql("UPDATE api_keys SET scopes = '{users:read}' WHERE id = $1", [id]);
        const refused = { status: 403, problem: "insufficient-scope", json: { scope: "users:read" } };
        expect(await change(id, { expires_at: null })).toMatchObject(refused);
        expect(await change(id, { name: "renamed" })).toMatchObject({ status: 200 });
        const sooner = new Date(Date.now() + 60_000).toISOString();
        expect(await change(id, { expires_at: sooner })).toMatchObject({ status: 200 });
        expect(await change(id, { expires_at: null, scopes: [] })).toMatchObject({ status: 200 });
      },
    },
    404: {
      "for another user's key": async () => {
        await service.register("susan");
        const answer = await change(id, { name: "mine" }, { basic: ["susan", password] });
        expect(answer).toMatchObject({ status: 404, problem: "not-found" });
      },
    },
  },
});
