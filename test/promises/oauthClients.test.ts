/** Standard OAuth clients work: discovery (RFC 8414), introspection (RFC 7662) and revocation (RFC 7009). */
import * as oauth from "oauth4webapi";
import { describe, expect, test } from "vitest";
import { createKey } from "../support/apiKeys.ts";
import { password, startTestService } from "../support/service.ts";

const issuer = new URL("https://auth.example/login");
const service = await startTestService({ PUBLIC_URL: issuer.href, CORS_ORIGINS: "https://app.example" });
const admin = await service.administrator();
await service.register("miguel");
const basic: [string, string] = ["miguel", password];
const { key } = await createKey(service, { basic: admin }, { scopes: ["tokens:introspect"] });
const adminToken = (await service.send("GET", "/api/token", { basic: admin })).json.token as string;

/** Requests to the public URL arrive here, as through a proxy. */
const options = {
  [oauth.customFetch]: (url: string, init: object) => fetch(url.replace(issuer.origin, service.url), init),
};
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
const signIn = async () => (await service.send("POST", "/api/sessions", { basic })).json;

test("discovery finds the metadata at the path of RFC 8414", () => {
  expect(new URL(discovered.url).pathname).toBe("/.well-known/oauth-authorization-server/login");
  expect(server.introspection_endpoint).toBe(`${issuer.href}/oauth/introspect`);
});

describe("introspection", () => {
  const clients: [string, oauth.Client, oauth.ClientAuth][] = [
    ["an API key as client_id", { client_id: key }, oauth.ClientSecretBasic("unused")],
    ["an API key as client_secret", { client_id: "the orders service" }, oauth.ClientSecretBasic(key)],
    ["a token as client_id", { client_id: adminToken }, oauth.ClientSecretBasic("unused")],
    [
      "an API key as the Bearer token",
      { client_id: "the orders service" },
      (_server, _client, _body, headers) => headers.set("authorization", `Bearer ${key}`),
    ],
  ];
  test.each(clients)("works with %s", async (_name, client, authentication) => {
    const { access_token, refresh_token } = await signIn();
    for (const [token, kind] of [
      [access_token, "access_token"],
      [refresh_token, "refresh_token"],
      [key, "api_key"],
    ]) {
      const response = await oauth.introspectionRequest(server, client, authentication, token, options);
      const found = await oauth.processIntrospectionResponse(server, client, response);
      expect(found).toMatchObject({ active: true, token_type: kind, iss: issuer.href });
    }
    const response = await oauth.introspectionRequest(server, client, authentication, "unknown", options);
    expect(await oauth.processIntrospectionResponse(server, client, response)).toEqual({ active: false });
  });

  const wrongKey = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
  test.each<[string, oauth.Client, oauth.ClientAuth]>([
    ["as client_id", { client_id: wrongKey }, oauth.ClientSecretBasic("unused")],
    ["as client_secret", { client_id: "x" }, oauth.ClientSecretBasic(wrongKey)],
    ["in the body, which is not supported", { client_id: "x" }, oauth.ClientSecretPost(key)],
  ])("rejects a wrong key %s, as an error of OAuth", async (_name, client, authentication) => {
    const hashed = service.hashingWork();
    const response = await oauth.introspectionRequest(server, client, authentication, key, options);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toContain("Bearer realm=");
    expect(await response.clone().json()).toEqual({
      error: expect.stringMatching(/^invalid_(client|token)$/),
      error_description: expect.any(String),
      error_uri: expect.stringMatching(/^\/login\/problems\//),
    });
    await expect(oauth.processIntrospectionResponse(server, client, response)).rejects.toBeInstanceOf(Error);
    expect(service.hashingWork()).toBe(hashed);
  });
});

describe("revocation", () => {
  test.each<[string, oauth.Client, oauth.ClientAuth]>([
    ["without client authentication", { client_id: "spa" }, oauth.None()],
    ["with client authentication, which is ignored", { client_id: "spa" }, oauth.ClientSecretBasic("secret")],
  ])("works %s", async (_name, client, authentication) => {
    const { access_token, refresh_token } = await signIn();
    for (const token of [refresh_token, refresh_token, "unknown"]) {
      const response = await oauth.revocationRequest(server, client, authentication, token, options);
      expect(await oauth.processRevocationResponse(response)).toBeUndefined();
    }
    expect(await service.send("GET", "/api/resource", { bearer: access_token })).toMatchObject({ status: 401 });
  });

  test("works from a page of an allowed origin, and from no other", async () => {
    const revoke = (origin: string, at = service) => {
      const headers = { origin, "sec-fetch-site": "cross-site" };
      return at.send("POST", "/oauth/revoke", { form: { token: "x" }, headers });
    };
    const answer = await revoke("https://app.example");
    expect(answer.status).toBe(200);
    expect(answer.header("access-control-allow-origin")).toBe("https://app.example");
    expect(await revoke("https://evil.example")).toMatchObject({ status: 403, json: { error: "invalid_request" } });
    const open = await startTestService({ CORS_ORIGINS: "*" }, service.databaseUrl);
    // Only the token in the body matters, so that a form of any page may send it.
    expect((await revoke("https://evil.example", open)).status).toBe(200);
    // The browser may have added Basic credentials of its own.
    const cross = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    const form = { token: "x" };
    expect((await open.send("POST", "/oauth/introspect", { basic: admin, form, headers: cross })).status).toBe(403);
    expect((await open.send("POST", "/oauth/introspect", { bearer: key, form, headers: cross })).status).toBe(200);
  });
});
