import { expect } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { createKey } from "../support/apiKeys.ts";
import type { Received, Sent } from "../support/client.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { ownAudience } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";
import { basicOrBearerCases, guessingCases } from "../support/sharedCases/credentials.ts";

const service = await startTestService({ TRUST_PROXY: "127.0.0.1" });
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, ...(json !== undefined && { json }) });
const orders = "https://orders.example/v1";
const described = (...names: string[]) => names.map((name) => ({ name, description: "" }));
await asAdmin("POST", "/api/apis", {
  audience: orders,
  name: "Orders",
  scopes: described("orders:read", "orders:write"),
});
await asAdmin("POST", "/api/apis", { audience: "stock", name: "Stock", scopes: described("stock:read") });
await asAdmin("POST", "/api/apis", {
  audience: "shop",
  name: "Shop",
  scopes: described("shop:buy"),
  contract: {
    openapi: "3.1.0",
    paths: {
      "/": { get: { security: [] } },
      "/cart": { get: { security: [{ token: [] }] }, post: { security: [{ token: ["shop:buy"] }] } },
    },
    components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
  },
});
await asAdmin("PUT", "/api/roles/clerk", { scopes: ["orders:read", "stock:read", "shop:buy"] });
const { id } = await service.register("miguel");
await asAdmin("PATCH", `/api/users/${id}`, { roles: ["clerk"] });
const basic: [string, string] = ["miguel", password];
const { token: ownToken } = (await service.send("GET", "/api/token", { basic })).json;
const { token: limitedToken } = (await service.send("GET", "/api/token?scope=account:read", { basic })).json;
const { token: ordersToken } = (await service.send("GET", `/api/token?audience=${orders}`, { basic })).json;
const { token: stockToken } = (await service.send("GET", "/api/token?audience=stock", { basic })).json;
const { key } = await createKey(service, "miguel", { scopes: ["orders:read", "account:read"] });

const target = "/api/forward-auth";
const ask = (query: string, sent: Sent = {}) => service.send("GET", `${target}?${query}`, sent);
const forwarded = (method: string, uri: string) => ({ "x-forwarded-method": method, "x-forwarded-uri": uri });
const identityOf = (answer: Received) =>
  ["user-id", "username", "scope", "roles", "client-id"].map((name) => answer.header(`latchkey-${name}`));
const nobody = ["", "", "", "", ""];
const operation = readApi("openapi.yaml").operations.find((one) => one.id === "forwardAuth");
if (!operation) throw new Error("The contract has no forwardAuth.");
const request = () => ({ basic });
const tested = { service, operation, target, request };
const credentialCases = basicOrBearerCases(tested);

describeOperation("forwardAuth", {
  service,
  request,
  cases: {
    204: {
      ...each<[string, Sent]>(
        "with the user of %s",
        [
          ["a password", { basic }],
          ["a token", { bearer: ownToken }],
          ["a token as the Basic username", { basic: [ownToken, "unused"] }],
          ["an API key", { bearer: key }],
          ["an API key as the Basic username", { basic: [key, "unused"] }],
        ],
        async (_label, sent) => {
          for (const answer of [await service.send("GET", target, sent), await ask("scope=account:read", sent)]) {
            expect(answer).toMatchObject({ status: 204, text: "" });
            expect(answer.header("latchkey-user-id")).toBe(id);
            expect(answer.header("latchkey-username")).toBe("miguel");
            expect(answer.header("latchkey-scope")?.split(" ")).toContain("account:read");
            expect(answer.header("latchkey-roles")).toBe("clerk");
            expect(answer.header("cache-control")).toBe("no-store");
          }
        },
      ),
      ...each<[string, Sent, string, string]>(
        "with what %s allows at an API",
        [
          ["a password", { basic }, "orders:read", ""],
          ["a token for the API", { bearer: ordersToken }, "orders:read", "latchkey"],
          ["a token for the API as the Basic username", { basic: [ordersToken, "x"] }, "orders:read", "latchkey"],
          ["an API key", { bearer: key }, "orders:read", ""],
          ["an administrator's password", { basic: admin }, "orders:read orders:write", ""],
        ],
        async (_label, sent, scope, clientId) => {
          for (const query of [`audience=${orders}`, `audience=${orders}&scope=orders:read`]) {
            const answer = await ask(query, sent);
            expect(answer.status).toBe(204);
            expect(answer.header("latchkey-scope")).toBe(scope);
            expect(answer.header("latchkey-client-id")).toBe(clientId);
          }
        },
      ),
      "for the audience of this service as without one": async () => {
        const own = `audience=${ownAudience}`;
        for (const sent of [{ basic }, { bearer: ownToken }, { bearer: key }]) {
          const [named, unnamed] = [await ask(own, sent), await ask("", sent)];
          expect(named.status).toBe(204);
          expect(identityOf(named)).toEqual(identityOf(unnamed));
        }
        expect((await ask(`${own}&scope=account:read`, { bearer: ownToken })).status).toBe(204);
        expect(await ask(own, { bearer: ordersToken })).toMatchObject({ status: 401, problem: "invalid-token" });
        expect(await ask(own)).toMatchObject({ status: 401, problem: "authentication-required" });
      },
      "with no more than a limited token allows": async () => {
        const answer = await service.send("GET", target, { bearer: limitedToken });
        expect(identityOf(answer)).toEqual([id, "miguel", "account:read", "clerk", "latchkey"]);
      },
      "with a name of any script, percent-encoded": async () => {
        for (const [name, encoded] of [
          ["Ольга", "%D0%BE%D0%BB%D1%8C%D0%B3%D0%B0"],
          ["50%41", "50%2541"],
          ["miguel@example.com", "miguel@example.com"],
        ] as const) {
          await service.register(name);
          const answer = await service.send("GET", target, { basic: [name, password] });
          expect(answer.status).toBe(204);
          expect(answer.header("latchkey-username")).toBe(encoded);
          expect(decodeURIComponent(encoded)).toBe(name.toLowerCase());
        }
      },
      "to HEAD, with the same headers": async () => {
        const [get, head] = [await ask("", { basic }), await service.send("HEAD", target, { basic })];
        expect(head).toMatchObject({ status: 204, text: "" });
        expect(identityOf(head)).toEqual(identityOf(get));
        expect((await service.send("HEAD", target)).status).toBe(401);
      },
      "whatever the client accepts, has cached, or wants to upgrade to": async () => {
        const headers = { accept: "image/webp", "if-none-match": "*", range: "bytes=0-1", upgrade: "websocket" };
        expect((await ask("", { basic, headers })).status).toBe(204);
      },
      "without credentials, for an open operation of a contract": async () => {
        for (const sent of [{}, { basic: ["nobody", "wrong password"] as [string, string] }, { bearer: "garbage" }]) {
          const answer = await ask("audience=shop", { ...sent, headers: forwarded("GET", "/") });
          expect(answer.status).toBe(204);
          expect(identityOf(answer)).toEqual(nobody);
        }
      },
      "for an operation of a contract, with its scopes": async () => {
        const { token } = (await service.send("GET", "/api/token?audience=shop", { basic })).json;
        for (const [method, bearer] of [
          ["GET", token],
          ["HEAD", token],
          ["POST", token],
        ]) {
          const answer = await ask("audience=shop", { bearer, headers: forwarded(method, "/cart?item=1") });
          expect(identityOf(answer)).toEqual([id, "miguel", "shop:buy", "clerk", "latchkey"]);
        }
      },
    },
    400: {
      ...each<[string, string, string]>(
        "for %s, with credentials and without",
        [
          ["an audience that is not registered", "audience=unknown", "invalid-target"],
          ["a malformed audience", "audience=%20", "invalid-request"],
          ["an empty audience", "audience=", "invalid-request"],
          ["two audiences", "audience=stock&audience=shop", "invalid-request"],
          ["a scope that this service does not have", "scope=orders:read", "invalid-scope"],
          ["a scope that the API does not have", "audience=stock&scope=orders:read", "invalid-scope"],
          ["a scope of this service, with an audience", "audience=stock&scope=account:read", "invalid-scope"],
          ["a malformed scope", "scope=account:read%20%20account:write", "invalid-scope"],
          ["two scope parameters", "scope=account:read&scope=account:write", "invalid-request"],
        ],
        async (_label, query, problem) => {
          for (const sent of [{}, { basic }]) {
            const answer = await ask(query, sent);
            expect(answer).toMatchObject({ status: 400, problem });
            expect(identityOf(answer)).toEqual(nobody);
          }
        },
      ),
      "for a contract, if no trusted proxy says which operation it is": async () => {
        const answer = await ask("audience=shop", { basic });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.json.errors.map(({ header }: { header: string }) => header)).toEqual([
          "X-Forwarded-Method",
          "X-Forwarded-Uri",
        ]);
      },
      "for malformed Basic credentials": async () => {
        const answer = await ask("", { headers: { authorization: "Basic *" } });
        expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(identityOf(answer)).toEqual(nobody);
      },
    },
    401: {
      ...credentialCases[401],
      ...each<[string, string, () => string]>(
        "for %s",
        [
          ["a token for an API, without audience", "", () => ordersToken],
          ["a token for this service, with an audience", `audience=${orders}`, () => ownToken],
          ["a token for another API", `audience=${orders}`, () => stockToken],
          ["an API key that has no scope of the API", "audience=stock", () => key],
        ],
        async (_label, query, bearer) => {
          for (const sent of [{ bearer: bearer() }, { basic: [bearer(), "unused"] as [string, string] }]) {
            const answer = await ask(query, sent);
            expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
            expect(answer.headers["www-authenticate"]?.at(-1)).toContain('error="invalid_token"');
            expect(identityOf(answer)).toEqual(nobody);
          }
        },
      ),
      "for a password, if the contract accepts tokens only, without the Basic challenge": async () => {
        const answer = await ask("audience=shop", { basic, headers: forwarded("GET", "/cart") });
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
        expect(answer.headers["www-authenticate"]).toEqual(['Bearer realm="latchkey"']);
      },
      "for an open operation of a contract, if the proxy names a scope": async () => {
        const answer = await ask("audience=shop&scope=shop:buy", { headers: forwarded("GET", "/") });
        expect(answer).toMatchObject({ status: 401, problem: "authentication-required" });
      },
    },
    403: {
      ...each<[string, string, Sent, string]>(
        "for %s",
        [
          ["a user without the scope", "scope=users:read", { basic }, "users:read"],
          ["one of two scopes that is missing", "scope=account:read%20users:read", { basic }, "users:read"],
          ["a limited token", "scope=account:write", { bearer: limitedToken }, "account:write"],
          ["a limited API key", "scope=account:write", { bearer: key }, "account:write"],
          ["a user without the API's scope", `audience=${orders}&scope=orders:write`, { basic }, "orders:write"],
          ["a token without it", `audience=${orders}&scope=orders:write`, { bearer: ordersToken }, "orders:write"],
          ["an API key without it", `audience=${orders}&scope=orders:write`, { bearer: key }, "orders:write"],
        ],
        async (_label, query, sent, scope) => {
          const answer = await ask(query, sent);
          expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope", json: { scope } });
          expect(answer.header("www-authenticate")).toBe(
            `Bearer realm="latchkey", error="insufficient_scope", scope="${scope}"`,
          );
          expect(identityOf(answer)).toEqual(nobody);
        },
      ),
      ...each<[string, string, string]>(
        "for %s that the contract does not declare, also with all rights",
        [
          ["a path", "GET", "/admin"],
          ["a method", "DELETE", "/cart"],
          ["a method of an open path", "POST", "/"],
        ],
        async (_label, method, uri) => {
          for (const sent of [{}, { basic: admin }]) {
            const answer = await ask("audience=shop", { ...sent, headers: forwarded(method, uri) });
            expect(answer).toMatchObject({ status: 403, problem: "undeclared-operation" });
            expect(identityOf(answer)).toEqual(nobody);
          }
        },
      ),
      "for a scope that the operation of the contract requires": async () => {
        await service.register("guest");
        const { token } = (await service.send("GET", "/api/token?audience=shop", { basic: ["guest", password] })).json;
        const sent = { bearer: token, headers: forwarded("POST", "/cart") };
        expect(await ask("audience=shop", sent)).toMatchObject({ status: 403, json: { scope: "shop:buy" } });
        expect((await ask("audience=shop", { ...sent, headers: forwarded("GET", "/cart") })).status).toBe(204);
      },
    },
    429: { ...guessingCases(tested)[429] },
  },
});
