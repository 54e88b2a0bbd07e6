/** oauth4webapi works with the service, and its checks, all of them on, find nothing that breaks a standard. */
import * as oauth from "oauth4webapi";
import { expect, test } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { type Arrival, openBrowser, pageOf, urlOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { startTestService } from "../support/service.ts";

const issuer = new URL("https://auth.example");
const service = await startTestService({ PUBLIC_URL: issuer.origin, CLIENT_REGISTRATION: "on" });
const basic = await service.administrator();
const miguel = await service.register("miguel");
const orders = "https://orders.example/v1";
const scopes = [{ name: "orders:read", description: "See orders." }];
await service.send("POST", "/api/apis", { basic, json: { audience: orders, name: "Orders", scopes } });
await service.sql("UPDATE roles SET scopes = '{orders:read}' WHERE name = 'default'");

/** Requests to the public URL arrive here, as through a proxy. */
const options = {
  [oauth.customFetch]: (url: string, init: object) => fetch(url.replace(issuer.origin, service.url), init),
};
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...options });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
const redirectUri = "https://app.example/callback";
const browser = openBrowser(service, issuer.origin);

/** Everything that the user does. @returns where the browser leaves the service */
async function visit(url: URL): Promise<URL> {
  let arrival: Arrival = await browser.go("GET", url.href);
  if (arrival.page?.text.includes('name="password"')) arrival = await browser.signIn(arrival, "miguel");
  if (arrival.page) arrival = await browser.allow(arrival);
  return urlOf(arrival);
}

/** A whole code flow. */
async function signIn(client: oauth.Client, authentication: oauth.ClientAuth, more: Record<string, string> = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const expectedNonce = oauth.generateRandomNonce();
  const url = new URL(server.authorization_endpoint ?? "");
  url.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: redirectUri,
    response_type: "code",
    scope: "openid profile orders:read",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce: expectedNonce,
    max_age: "3600",
    ...more,
  }).toString();
  const parameters = oauth.validateAuthResponse(server, client, await visit(url), state);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    authentication,
    parameters,
    redirectUri,
    verifier,
    options,
  );
  const checks = { expectedNonce, maxAge: 3_600, requireIdToken: true };
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, checks);
  await oauth.validateApplicationLevelSignature(server, response, options);
  return tokens;
}

/** What the resource server of an API does, by RFC 9068. */
const asApi = (token: string, audience = orders) => {
  const request = new Request("https://orders.example/v1/orders", { headers: { authorization: `Bearer ${token}` } });
  return oauth.validateJwtAccessToken(server, request, audience, options);
};

/** Registers a client that authenticates with a key of its own. */
async function registerWithKey(algorithm: string, members: Record<string, unknown>) {
  const { privateKey, publicKey } = await oauth.generateKeyPair(algorithm, { extractable: true });
  const { key_ops: _operations, ext: _isExtractable, ...jwk } = await crypto.subtle.exportKey("jwk", publicKey);
  const { client_id } = await registerClient(service, basic, {
    token_endpoint_auth_method: "private_key_jwt",
    jwks: { keys: [{ ...jwk, kid: "one", alg: algorithm }] },
    scopes: ["orders:read", "tokens:introspect"],
    audiences: [orders],
    ...members,
  });
  return { client: { client_id }, authentication: oauth.PrivateKeyJwt({ key: privateKey, kid: "one" }) };
}

test("a client with a key of its own signs a user in, refreshes and revokes, and the API accepts its tokens", async () => {
  const { client, authentication } = await registerWithKey("ES256", {
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [redirectUri],
  });
  const tokens = await signIn(client, authentication, { resource: orders });
  expect(oauth.getValidatedIdTokenClaims(tokens)).toMatchObject({ sub: miguel.id, preferred_username: "miguel" });
  const claims = { sub: miguel.id, client_id: client.client_id, scope: "orders:read" };
  expect(await asApi(tokens.access_token)).toMatchObject(claims);
  await expect(asApi(tokens.access_token, "https://other.example")).rejects.toThrow(/"aud"/);
  await expect(asApi(tokens.id_token ?? "")).rejects.toThrow();

  const refresh = async (token = "") => {
    const response = await oauth.refreshTokenGrantRequest(server, client, authentication, token, options);
    return oauth.processRefreshTokenResponse(server, client, response);
  };
  const refreshed = await refresh(tokens.refresh_token);
  expect(oauth.getValidatedIdTokenClaims(refreshed)?.auth_time).toBe(
    oauth.getValidatedIdTokenClaims(tokens)?.auth_time,
  );
  expect(await asApi(refreshed.access_token)).toMatchObject(claims);

  const introspect = async () => {
    const { access_token } = refreshed;
    const response = await oauth.introspectionRequest(server, client, authentication, access_token, options);
    return oauth.processIntrospectionResponse(server, client, response);
  };
  expect(await introspect()).toMatchObject({ active: true, ...claims, aud: orders });
  const { refresh_token = "" } = refreshed;
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(server, client, authentication, refresh_token, options),
  );
  expect(await introspect()).toEqual({ active: false });
  await expect(refresh(refresh_token)).rejects.toMatchObject({ error: "invalid_grant", status: 400 });
});

test.each(["ES256", "Ed25519", "RS256", "PS256"])("a machine gets a token with a key for %s", async (algorithm) => {
  const { client, authentication } = await registerWithKey(algorithm, {});
  const parameters = { resource: orders, scope: "orders:read" };
  const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, options);
  const { access_token, refresh_token } = await oauth.processClientCredentialsResponse(server, client, response);
  expect(refresh_token).toBeUndefined();
  expect(await asApi(access_token)).toMatchObject({ sub: client.client_id, client_id: client.client_id });
});

test("a program registers itself, and gets user information", async () => {
  const registered = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(
      server,
      { client_name: "An app", redirect_uris: [redirectUri], grant_types: ["authorization_code"] },
      options,
    ),
  );
  const tokens = await signIn(registered, oauth.ClientSecretBasic(String(registered.client_secret)), {
    scope: "openid profile",
  });
  const response = await oauth.userInfoRequest(server, registered, tokens.access_token, options);
  const userinfo = await oauth.processUserInfoResponse(server, registered, miguel.id, response);
  expect(userinfo).toEqual({ sub: miguel.id, preferred_username: "miguel" });
  // An error of RFC 6750, which the library reads from the challenge.
  const unknown = await oauth.userInfoRequest(server, registered, `${tokens.access_token}x`, options);
  await expect(oauth.processUserInfoResponse(server, registered, miguel.id, unknown)).rejects.toMatchObject({
    status: 401,
    cause: [{ scheme: "bearer", parameters: { error: "invalid_token" } }],
  });
});

test("a device waits for its user", async () => {
  const { id } = await insertClient(service, { authentication: "none" });
  const client = { client_id: id };
  const started = await oauth.processDeviceAuthorizationResponse(
    server,
    client,
    await oauth.deviceAuthorizationRequest(server, client, oauth.None(), { scope: "openid" }, options),
  );
  const poll = async () => {
    const response = await oauth.deviceCodeGrantRequest(server, client, oauth.None(), started.device_code, options);
    return oauth.processDeviceCodeResponse(server, client, response);
  };
  await expect(poll()).rejects.toMatchObject({ error: "authorization_pending", status: 400 });
  await expect(poll()).rejects.toMatchObject({ error: "slow_down", status: 400 });
  let arrival: Arrival = await browser.go("GET", started.verification_uri_complete ?? "");
  if (arrival.page?.text.includes('name="password"')) arrival = await browser.signIn(arrival, "miguel");
  const { user_code } = started;
  pageOf(await browser.submit(await browser.submit(arrival, { user_code }), { decision: "allow" }));
  await service.sql("UPDATE device_codes SET last_polled_at = last_polled_at - interval '1 minute'");
  expect(oauth.getValidatedIdTokenClaims(await poll())?.sub).toBe(miguel.id);
});
