import { generateKeyPairSync } from "node:crypto";
import { expect } from "vitest";
import { parseClientSecret } from "../../src/clients/secrets.ts";
import { describeOperation, each } from "../support/describeOperation.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const basic = await service.administrator();
const orders = { audience: "orders", name: "Orders", scopes: [{ name: "orders:read", description: "" }] };
await service.send("POST", "/api/apis", { basic, json: orders });
const machine = { name: "Nightly report", grant_types: ["client_credentials"] };
const app = { name: "App", grant_types: ["authorization_code"], redirect_uris: ["https://app.example/callback"] };
const create = (json: unknown) => service.send("POST", "/api/clients", { basic, json });
const jwkOf = (...[type, options]: [string, object]) =>
  generateKeyPairSync(type as "ec", options as { namedCurve: string }).publicKey.export({ format: "jwk" });
const key = jwkOf("ec", { namedCurve: "P-256" });

describeOperation("createClient", {
  service,
  request: () => ({ basic, json: machine }),
  cases: {
    201: {
      "with a secret for a confidential client, and its path": async () => {
        const answer = await create({ ...machine, scopes: ["users:read", "orders:read"], audiences: ["orders"] });
        expect(answer).toMatchObject({
          status: 201,
          json: {
            client_id: expect.stringMatching(/^lkc_[0-9a-f]{32}$/),
            name: "Nightly report",
            public: false,
            token_endpoint_auth_method: "client_secret_basic",
            registration: "administrator",
            grant_types: ["client_credentials"],
            redirect_uris: [],
            scopes: ["users:read", "orders:read"],
            audiences: ["orders"],
            first_party: false,
            jwks: null,
            secrets: [{ last_four: answer.json.client_secret.slice(-4), last_used_at: null }],
          },
        });
        expect(parseClientSecret(answer.json.client_secret)).toBeDefined();
        expect(answer.header("location")).toBe(`/api/clients/${answer.json.client_id}`);
        const { client_secret: _, ...rest } = answer.json;
        expect((await service.send("GET", answer.header("location") ?? "", { basic })).json).toEqual(rest);
      },
      "without a secret for a public client": async () => {
        const answer = await create({ ...app, public: true });
        expect(answer).toMatchObject({
          status: 201,
          json: { public: true, token_endpoint_auth_method: "none", secrets: [] },
        });
        expect(answer.json).not.toHaveProperty("client_secret");
      },
      "without a secret for a client with keys": async () => {
        const rsa = { ...jwkOf("rsa", { modulusLength: 2048 }), alg: "PS256", kid: "rsa" };
        const keys = [{ ...key, kid: "ec", use: "sig", alg: "ES256" }, rsa, { ...jwkOf("ed25519", {}), kid: "ed" }];
        const answer = await create({ ...machine, token_endpoint_auth_method: "private_key_jwt", jwks: { keys } });
        expect(answer).toMatchObject({ status: 201, json: { public: false, secrets: [], jwks: { keys } } });
        expect(answer.json).not.toHaveProperty("client_secret");
      },
      "with each kind of redirect URI": async () => {
        const redirect_uris = [
          "https://app.example",
          "https://app.example/callback?tenant=1",
          "http://127.0.0.1/callback",
          "http://[::1]:8000/callback",
          "http://localhost:3000/",
          "com.example.app:/callback",
          "com.example.app://callback",
        ];
        const post_logout_redirect_uris = ["https://app.example/bye"];
        const links = {
          logo_uri: "https://app.example/logo.svg",
          client_uri: "https://app.example/",
          first_party: true,
        };
        const given = { ...app, redirect_uris, post_logout_redirect_uris, ...links };
        expect(await create(given)).toMatchObject({ status: 201, json: given });
      },
    },
    400: {
      ...each<[string, string, object]>(
        "for %s, at %s",
        [
          ["a public client with client_credentials", "#/grant_types", { ...machine, public: true }],
          ["refresh_token alone", "#/grant_types", { ...machine, grant_types: ["refresh_token"] }],
          ["authorization_code without a redirect URI", "#/redirect_uris", { ...app, redirect_uris: [] }],
          [
            "a contradiction",
            "#/public",
            { ...machine, public: true, token_endpoint_auth_method: "client_secret_basic" },
          ],
          ["another contradiction", "#/public", { ...app, public: false, token_endpoint_auth_method: "none" }],
          ["an unknown scope", "#/scopes/0", { ...machine, scopes: ["orders:fly"] }],
          ["an unknown audience", "#/audiences/1", { ...machine, audiences: ["orders", "cellar"] }],
          ["keys of a client with a secret", "#/jwks", { ...machine, jwks: { keys: [key] } }],
          ["no keys", "#/jwks", { ...machine, token_endpoint_auth_method: "private_key_jwt" }],
          ["a name with a space at an end", "#/name", { ...machine, name: " Report" }],
          ["a name with a bidirectional control", "#/name", { ...machine, name: "Report\u202E" }],
          ["a logo by http", "#/logo_uri", { ...machine, logo_uri: "http://app.example/logo.svg" }],
          ["a script as a link", "#/client_uri", { ...machine, client_uri: "javascript:alert(1)" }],
          [
            "an unsafe post-logout URI",
            "#/post_logout_redirect_uris/0",
            { ...app, post_logout_redirect_uris: ["http://app.example/"] },
          ],
        ],
        async (_label, pointer, json) => {
          expect(await create(json)).toMatchObject({ status: 400, json: { errors: [{ pointer }] } });
        },
      ),
      ...each<[string, object]>(
        "for the key %s",
        [
          ["of another curve", jwkOf("ec", { namedCurve: "P-384" })],
          ["of too few bits", jwkOf("rsa", { modulusLength: 1024 })],
          ["that is private", generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })],
          ["that is symmetric", { kty: "oct", k: "AAAA" }],
          ["whose algorithm does not fit", { ...key, alg: "RS256" }],
          ["that is not on the curve", { ...key, x: key["y"], y: key["x"] }],
        ],
        async (_label, broken) => {
          const json = { ...machine, token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [broken] } };
          expect(await create(json)).toMatchObject({ status: 400, problem: "invalid-request" });
        },
      ),
      ...each<[string]>(
        "for the redirect URI %s",
        [
          ["http://app.example/callback"],
          ["http://127.0.0.2/callback"],
          ["http://localhost.example/"],
          ["http://127.1/"],
          ["https://app.example/callback#fragment"],
          ["https://app.example/#"],
          ["https://user@app.example/"],
          ["https://user:password@app.example/"],
          ["https://*.app.example/"],
          ["https://app.example/*"],
          ["https://app.example/a/../b"],
          ["https://APP.example/"],
          ["https://app.example:443/"],
          ["https://app.example\\@evil.example/"],
          ["https:app.example"],
          ["//app.example/"],
          ["/callback"],
          ["javascript:alert(1)"],
          ["data:text/html,x"],
          ["file:///etc/passwd"],
          ["blob:https://app.example/1"],
          ["vbscript:x"],
          ["myapp://callback"],
          ["urn:ietf:wg:oauth:2.0:oob"],
          ["about:blank"],
          ["https://äpp.example/"],
          ["https://app.example/ä"],
          ["https://app.example/ "],
          ["https://app.example/\n"],
          ["https://app.example/\u0000"],
          [""],
        ],
        async (uri) => {
          expect(await create({ ...app, redirect_uris: [uri] })).toMatchObject({
            status: 400,
            problem: "invalid-request",
          });
        },
      ),
    },
    403: {
      "for a scope that the caller does not have": async () => {
        const { id, username } = await service.register();
        await service.send("PUT", "/api/roles/registrar", { basic, json: { scopes: ["clients:write"] } });
        await service.send("PATCH", `/api/users/${id}`, { basic, json: { roles: ["registrar"] } });
        const send = (scopes: string[]) =>
          service.send("POST", "/api/clients", { basic: [username, password], json: { ...machine, scopes } });
        expect(await send(["users:read"])).toMatchObject({ status: 403, json: { scope: "users:read" } });
        expect((await send(["clients:write"])).status).toBe(201);
      },
    },
  },
});
