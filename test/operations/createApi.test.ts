import { expect } from "vitest";
import { stringify } from "yaml";
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
const contract = {
  openapi: "3.1.0",
  paths: {
    "/orders": {
      get: { security: [{ token: ["orders:read"] }] },
      post: { security: [{ token: ["orders:write"] }] },
    },
    "/health": { get: { security: [] } },
  },
  components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
};
const withScope = (scope: string) => ({ ...contract, paths: { "/": { get: { security: [{ token: [scope] }] } } } });
/** Each list repeats the previous one nine times. */
const billion = [
  "openapi: 3.1.0",
  "x-a0: &a0 [x]",
  ...Array.from({ length: 9 }, (_, n) => `x-a${n + 1}: &a${n + 1} [${Array(9).fill(`*a${n}`).join()}]`),
].join("\n");

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
      ...each<[string, unknown]>(
        "with a contract as %s",
        [
          ["an object", contract],
          ["JSON", JSON.stringify(contract)],
          ["YAML", stringify(contract)],
          ["a long text", `${stringify(contract)}${"# more\n".repeat(110_000)}`],
        ],
        async (label, contract) => {
          const audience = `with-${label}`.replaceAll(" ", "-");
          const answer = await create({ audience, name: "Orders", scopes, contract });
          expect(answer).toMatchObject({ status: 201, json: { has_contract: true } });
          expect((await service.send("GET", `/api/apis/${audience}`, { basic })).json.has_contract).toBe(true);
          expect(answer.text).not.toContain("openapi");
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
          ["a name that reverses the text", { name: "Ord\u202eers" }, "#/name"],
          [
            "a description with a lone surrogate",
            { scopes: [{ name: "read", description: "\ud800" }] },
            "#/scopes/0/description",
          ],
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
      ...each<[string, unknown, string]>(
        "for a contract %s",
        [
          ["that is a number", 7, ""],
          ["that is null", null, ""],
          ["that is empty", "", ""],
          ["that is neither YAML nor JSON", "a: [", "neither YAML nor JSON"],
          ["that is a text without members", "openapi", "not an object"],
          ["of Swagger 2", { swagger: "2.0", paths: {} }, "2.0"],
          ["without operations", { openapi: "3.1.0", paths: {} }, "no operations"],
          ["with an operation without security", { ...contract, paths: { "/": { get: {} } } }, "GET / has no security"],
          ["with a scope that the API does not have", withScope("orders:delete"), "orders:delete"],
          ["with a scope of this service", withScope("users:read"), "users:read"],
          [
            "with a file elsewhere",
            { ...contract, paths: { "/": { $ref: "file:///etc/passwd" } } },
            "not in this document",
          ],
          ["that refers to itself", "openapi: 3.1.0\npaths: &a { /: *a }\n", ""],
          ["that is nested deeply", `openapi: 3.1.0\nx-a: ${"[".repeat(50_000)}`, ""],
          [
            "that is nested deeply, as JSON",
            `{"openapi":"3.1.0","x-a":${"[".repeat(99_000)}${"]".repeat(99_000)}}`,
            "",
          ],
          ["that grows", billion, ""],
        ],
        async (_label, contract, detail) => {
          const answer = await create({ audience: "refused", name: "Refused", scopes, contract });
          expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
          expect(answer.json.errors[0].pointer).toBe("#/contract");
          expect(answer.json.errors[0].detail).toContain(detail);
          expect((await service.send("GET", "/api/apis/refused", { basic })).status).toBe(404);
        },
      ),
      "for a contract with many faults, with as many as fit": async () => {
        const paths = Object.fromEntries(
          Array.from({ length: 30 }, (_, n) => [`/${n}/${"x".repeat(600)}`, { get: {} }]),
        );
        const answer = await create({ audience: "refused", name: "Refused", scopes, contract: { ...contract, paths } });
        expect(answer.json.errors).toHaveLength(20);
      },
      "for YAML that would take minutes, while other requests are served": async () => {
        const costly = `{${Array.from({ length: 80_000 }, (_, n) => `k${n}: 1`).join()}}`;
        const settled: number[] = [];
        const send = async () => {
          const answer = await create({ audience: "refused", name: "Refused", scopes, contract: costly });
          settled.push(answer.status);
          return answer;
        };
        const sent = [send(), send()];
        // The other one gets a 503 at once, because one text is parsed at a time.
        expect(await Promise.race(sent)).toMatchObject({ status: 503, problem: "overloaded" });
        expect((await service.send("GET", "/api/apis", { basic })).status).toBe(200);
        expect(settled).toEqual([503]);
        await Promise.all(sent);
        expect(settled).toEqual([503, 400]);
        expect(
          (await create({ audience: "afterwards", name: "A", scopes, contract: stringify(contract) })).status,
        ).toBe(201);
      },
      "for a contract whose object is nested too deeply": async () => {
        const deep = `${"[".repeat(99_000)}${"]".repeat(99_000)}`;
        const body = `{"audience":"refused","name":"Refused","scopes":[],"contract":{"openapi":"3.1.0","x-a":${deep}}}`;
        const headers = { "content-type": "application/json" };
        const answer = await service.send("POST", "/api/apis", { basic, body, headers });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      },
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
