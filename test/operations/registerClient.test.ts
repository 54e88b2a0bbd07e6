import { expect } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService, toNextWindowSeconds } from "../support/service.ts";

const service = await startTestService({ CLIENT_REGISTRATION: "on", THROTTLE_REGISTRATIONS: "100000" });
const closed = await startTestService({}, service.databaseUrl);
const strict = await startTestService({ CLIENT_REGISTRATION: "on", THROTTLE_REGISTRATIONS: "2" });
const admin = await service.administrator();
const app = { client_name: "App", redirect_uris: ["https://app.example/callback"] };
const register = (json: unknown) => service.send("POST", "/oauth/register", { json });

describeOperation("registerClient", {
  service,
  request: () => ({ json: app }),
  cases: {
    201: {
      "with a secret, and what was left out": async () => {
        const answer = await register(app);
        expect(answer).toMatchObject({
          status: 201,
          json: {
            ...app,
            client_secret: expect.stringMatching(/^lks_/),
            client_secret_expires_at: 0,
            grant_types: ["authorization_code"],
            response_types: ["code"],
            token_endpoint_auth_method: "client_secret_basic",
            scope: "openid profile offline_access",
          },
        });
        const stored = await service.send("GET", `/api/clients/${answer.json.client_id}`, { basic: admin });
        expect(stored.json).toMatchObject({ registration: "dynamic", first_party: false, audiences: [], name: "App" });
      },
      "without a secret for a public client, and without what such a client cannot have": async () => {
        const { json, status } = await register({
          ...app,
          token_endpoint_auth_method: "none",
          grant_types: ["authorization_code", "refresh_token", "client_credentials", "implicit", "password"],
          scope: "openid users:write account:write",
          audiences: ["orders"],
          first_party: true,
          unknown: { member: 1 },
        });
        expect(status).toBe(201);
        expect(json).toMatchObject({ grant_types: ["authorization_code", "refresh_token"], scope: "openid" });
        expect(json).not.toHaveProperty("client_secret");
        const stored = await service.send("GET", `/api/clients/${json.client_id}`, { basic: admin });
        expect(stored.json).toMatchObject({ public: true, first_party: false, scopes: ["openid"], audiences: [] });
      },
    },
    400: {
      ...each<[string, string, object]>(
        "for %s, as %s",
        [
          ["a redirect URI by http", "invalid_redirect_uri", { redirect_uris: ["http://app.example/"] }],
          ["a script", "invalid_redirect_uri", { redirect_uris: ["javascript:alert(1)"] }],
          ["no redirect URI", "invalid_client_metadata", { redirect_uris: [] }],
          ["client_credentials alone", "invalid_client_metadata", { grant_types: ["client_credentials"] }],
          ["the implicit flow", "invalid_client_metadata", { response_types: ["token"] }],
          ["mutual TLS", "invalid_client_metadata", { token_endpoint_auth_method: "tls_client_auth" }],
          ["a method of an object's prototype", "invalid_client_metadata", { token_endpoint_auth_method: "toString" }],
          ["no keys", "invalid_client_metadata", { token_endpoint_auth_method: "private_key_jwt" }],
          ["grants that are no list", "invalid_client_metadata", { grant_types: "authorization_code" }],
          ["a logo by http", "invalid_client_metadata", { logo_uri: "http://app.example/" }],
          ["a name that cannot be displayed", "invalid_client_metadata", { client_name: "App\u202E" }],
          ["a name that is invisible", "invalid_client_metadata", { client_name: "\u3164" }],
        ],
        async (_label, error, members) => {
          expect(await register({ ...app, ...members })).toMatchObject({ status: 400, json: { error } });
        },
      ),
      ...each<[string, object, string, string]>(
        "for %s, with the member that is wrong",
        [
          ["redirect URIs that are no list", { redirect_uris: 1 }, "redirect_uri", "redirect_uris must be array"],
          ["a redirect URI that is no text", { redirect_uris: [1] }, "redirect_uri", "redirect_uris/0 must be string"],
          [
            "an empty name",
            { client_name: "" },
            "client_metadata",
            "client_name must NOT have fewer than 1 characters",
          ],
          ["a name that reverses the text", { client_name: "a\u202e" }, "client_metadata", "client_name: has U+202E"],
        ],
        async (_label, members, code, description) => {
          const { status, json } = await register({ ...app, ...members });
          expect(status).toBe(400);
          expect(json.error).toBe(`invalid_${code}`);
          expect(json.error_uri).toBe(`/problems/${json.error.replaceAll("_", "-")}`);
          expect(json.error_description).toContain(description);
        },
      ),
      "for a body that is no object, without a member": async () => {
        const { json } = await register([]);
        expect(json).toMatchObject({
          error: "invalid_request",
          error_description: expect.stringContaining("the body"),
        });
      },
      "with the quotation marks of a pattern as apostrophes": async () => {
        const { json } = await register({ ...app, redirect_uris: ["https://app.example/\u00e9"] });
        expect(json.error_description).toContain("redirect_uris/0 must match pattern '^[!-~]+$'");
      },
    },
    404: {
      "if programs cannot register themselves": async () => {
        expect(await closed.send("POST", "/oauth/register", { json: app })).toMatchObject({ status: 404 });
      },
    },
    429: {
      "after too many registrations from a network": async () => {
        strict.advance(toNextWindowSeconds());
        const send = () => strict.send("POST", "/oauth/register", { json: app });
        expect([(await send()).status, (await send()).status]).toEqual([201, 201]);
        const answer = await send();
        expect(answer).toMatchObject({ status: 429, json: { error: "temporarily_unavailable" } });
        expect(answer.header("ratelimit-policy")).toContain('"client-registrations";q=2');
      },
    },
  },
});
