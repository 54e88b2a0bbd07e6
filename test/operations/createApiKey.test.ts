import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService({ API_KEYS_PER_USER: "3" });
const create = (sent: object, json: object) => service.send("POST", "/api/api-keys", { ...sent, json });
const newUser = async (): Promise<[string, string]> => [(await service.register()).username, password];

describeOperation("createApiKey", {
  service,
  request: async () => ({ basic: await newUser(), json: { name: "cron", scopes: [] } }),
  cases: {
    201: {
      "with a key that is accepted as Bearer and as the Basic username, and that no other response contains":
        async () => {
          const basic = await newUser();
          const { json, header } = await create({ basic }, { name: "cron", scopes: [] });
          expect(json).toMatchObject({ name: "cron", scopes: [], expires_at: null });
          expect(json.key).toMatch(/^lk_[0-9A-Za-z]{49}$/);
          expect(header("location")).toBe(`/api/api-keys/${json.id}`);
          expect(json.secrets).toMatchObject([{ last_four: json.key.slice(-4), expires_at: null, last_used_at: null }]);
          for (const sent of [{ bearer: json.key }, { basic: [json.key, "unused"] as [string, string] }]) {
            const answer = await service.send("GET", "/api/resource", sent);
            expect(answer).toMatchObject({ status: 200, json: { data: `Hello, ${basic[0]}!` } });
          }
          for (const target of ["/api/api-keys", `/api/api-keys/${json.id}`]) {
            const answer = await service.send("GET", target, { basic });
            expect(answer.text).toContain(json.id);
            expect(answer.text).not.toContain(json.key);
          }
        },
      "with scopes of the user, and an expiry in the future": async () => {
        const basic = await service.administrator();
        const expires_at = new Date(Date.now() + 3_600_000).toISOString();
        const { json } = await create({ basic }, { name: "admin", scopes: ["users:read", "account:read"], expires_at });
        expect(json).toMatchObject({ scopes: ["users:read", "account:read"], expires_at });
      },
    },
    400: {
      ...each(
        "for %s",
        [
          ["no name", { scopes: [] }, "#/name"],
          ["a name that is too long", { name: "x".repeat(65), scopes: [] }, "#/name"],
          ["a name with a line break", { name: "a\nb", scopes: [] }, "#/name"],
          ["a name with a line separator", { name: "a\u2028b", scopes: [] }, "#/name"],
          ["a name with a lone surrogate", { name: "a\ud800", scopes: [] }, "#/name"],
          ["a name that reverses the text", { name: "a\u202eb", scopes: [] }, "#/name"],
          ["a name with an invisible character", { name: "a\u200bb", scopes: [] }, "#/name"],
          ["a name with a space at its end", { name: "a ", scopes: [] }, "#/name"],
          ["no scopes", { name: "a" }, "#/scopes"],
          ["an unknown scope", { name: "a", scopes: ["account:read", "everything"] }, "#/scopes/1"],
          ["a scope of OpenID Connect", { name: "a", scopes: ["openid"] }, "#/scopes/0"],
          ["a malformed scope", { name: "a", scopes: ["account:read users:read"] }, "#/scopes/0"],
          ["a scope twice", { name: "a", scopes: ["account:read", "account:read"] }, "#/scopes"],
          ["an expiry in the past", { name: "a", scopes: [], expires_at: "2020-01-01T00:00:00Z" }, "#/expires_at"],
          ["a date that does not exist", { name: "a", scopes: [], expires_at: "2060-02-30T00:00:00Z" }, "#/expires_at"],
          [
            "an hour that does not exist",
            { name: "a", scopes: [], expires_at: "2060-01-31T24:00:00Z" },
            "#/expires_at",
          ],
          ["a year beyond 9999", { name: "a", scopes: [], expires_at: "9999-12-31T23:59:59-23:00" }, "#/expires_at"],
          ["another member", { name: "a", scopes: [], key: "lk_mine" }, "#/key"],
        ],
        async (_label, json, pointer) => {
          const answer = await create({ basic: await newUser() }, json);
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request", json: { errors: [{ pointer }] } });
        },
      ),
    },
    401: {
      "for an API key: a key cannot make keys": async () => {
        const { key } = (await create({ basic: await newUser() }, { name: "a", scopes: ["account:write"] })).json;
        const answer = await create({ basic: [key, "unused"] }, { name: "b", scopes: [] });
        expect(answer).toMatchObject({ status: 401, problem: "invalid-credentials" });
        expect(await create({ bearer: key }, { name: "b", scopes: [] })).toMatchObject({ status: 401 });
      },
    },
    403: {
      "for a scope that the user does not have, which the problem names": async () => {
        const answer = await create({ basic: await newUser() }, { name: "a", scopes: ["account:read", "users:read"] });
        expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope: "users:read" } });
      },
    },
    409: {
      "if the user has as many keys as the setting allows": async () => {
        const basic = await newUser();
        for (let count = 0; count < 3; count += 1) {
          expect((await create({ basic }, { name: `key ${count}`, scopes: [] })).status).toBe(201);
        }
        expect(await create({ basic }, { name: "one more", scopes: [] })).toMatchObject({
          status: 409,
          problem: "too-many-api-keys",
        });
      },
    },
  },
});
