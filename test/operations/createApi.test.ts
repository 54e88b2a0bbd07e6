import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const create = (json: object) => service.send("POST", "/api/apis", { basic, json });
const scopes = [
  { name: "orders:read", description: "See orders." },
  { name: "orders:write", description: "Place and cancel orders." },
];
let registered = 0;

describeOperation("createApi", {
  service,
  request: () => ({ basic, json: { audience: `api-${++registered}`, name: "An API", scopes } }),
  cases: {
    201: {
      ...each<[string, string]>(
        "for the audience %s, with its path",
        [
          ["https://orders.example/v1", "https%3A%2F%2Forders.example%2Fv1"],
          ["urn:example:orders?=v1", "urn%3Aexample%3Aorders%3F%3Dv1"],
          ["http://[::1]:8000/100%25", "http%3A%2F%2F%5B%3A%3A1%5D%3A8000%2F100%2525"],
          ["orders", "orders"],
        ],
        async (audience, segment) => {
          const answer = await create({ audience, name: "Orders", scopes, token_lifetime_seconds: 300 });
          expect(answer).toMatchObject({
            status: 201,
            json: { audience, name: "Orders", scopes, token_lifetime_seconds: 300 },
          });
          expect(answer.header("location")).toBe(`/api/apis/${segment}`);
          const { status, json } = await service.send("GET", `/api/apis/${segment}`, { basic });
          expect({ status, json }).toEqual({ status: 200, json: answer.json });
        },
      ),
      "without scopes, and with the service's lifetime of tokens": async () => {
        const answer = await create({ audience: "plain", name: "Plain", scopes: [] });
        expect(answer).toMatchObject({ status: 201, json: { scopes: [], token_lifetime_seconds: null } });
      },
    },
    400: {
      ...each<[string, object, string]>(
        "for %s",
        [
          ["a scope of this service", { scopes: [{ name: "roles:write", description: "" }] }, "#/scopes/0/name"],
          ["a repeated scope", { scopes: [...scopes, { ...scopes[0], description: "" }] }, "#/scopes/2/name"],
          ["a scope with a space", { scopes: [{ name: "orders read", description: "" }] }, "#/scopes/0/name"],
          ["a scope with a backslash", { scopes: [{ name: "orders\\read", description: "" }] }, "#/scopes/0/name"],
          [
            "too many scopes",
            { scopes: Array.from({ length: 101 }, (_, n) => ({ name: `${n}`, description: "" })) },
            "#/scopes",
          ],
          ["a name with NUL", { name: "Ord\u0000ers" }, "#/name"],
          ["a description with NUL", { scopes: [{ name: "read", description: "\u0000" }] }, "#/scopes/0/description"],
          ["an audience with a fragment", { audience: "https://orders.example/#v1" }, "#/audience"],
          ["an audience with a space", { audience: "the orders" }, "#/audience"],
          ["an audience that is a part of a path", { audience: ".." }, "#/audience"],
          ["a lifetime of zero", { token_lifetime_seconds: 0 }, "#/token_lifetime_seconds"],
          ["a lifetime beyond all settings", { token_lifetime_seconds: 86_401 }, "#/token_lifetime_seconds"],
        ],
        async (_label, change, pointer) => {
          const answer = await create({ audience: "refused", name: "Refused", scopes, ...change });
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.json.errors).toMatchObject([{ pointer }]);
        },
      ),
    },
    409: {
      "if another API has the audience": async () => {
        await create({ audience: "taken", name: "First", scopes });
        const answer = await create({ audience: "taken", name: "Second", scopes });
        expect(answer).toMatchObject({ status: 409, problem: "audience-taken" });
        expect((await service.send("GET", "/api/apis/taken", { basic })).json.name).toBe("First");
      },
      "if several requests at once register it, for all but one": async () => {
        const answers = await Promise.all(["a", "b", "c"].map((name) => create({ audience: "raced", name, scopes })));
        expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
      },
      ...each(
        "for an audience of this service itself: %s",
        [["https://auth.example.com/v1"], ["http://127.0.0.1:8080"], ["latchkey"]],
        async (audience) => {
          const named = await startTestService({ PUBLIC_URL: "https://auth.example.com/v1" }, service.databaseUrl);
          const answer = await named.send("POST", "/api/apis", { basic, json: { audience, name: "Own", scopes } });
          expect(answer).toMatchObject({ status: 409, problem: "audience-taken" });
          await named.close();
        },
      ),
    },
  },
});
