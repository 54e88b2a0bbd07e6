/** openid-client works with the service as it is: discovery, every grant, user information, introspection, revocation and sign-out. */
import * as oidc from "openid-client";
import { expect, test } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { type Arrival, openBrowser, pageOf, urlOf } from "../support/cookieBrowser.ts";
import { registerClient } from "../support/oauthClients.ts";
import { freePort } from "../support/ports.ts";
import { startTestService } from "../support/service.ts";

const port = await freePort();
const issuer = new URL(`http://127.0.0.1:${port}`);
const service = await startTestService({ PORT: String(port), PUBLIC_URL: issuer.origin });
const administrator = await service.administrator();
const miguel = await service.register("miguel");
const redirectUri = "https://app.example/callback";
const signedOutUri = "https://app.example/signed-out";

/** Everything that is optional and makes the library stricter is on. */
const options = { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] };
const client = await insertClient(service, {
  postLogoutRedirectUris: [signedOutUri],
  scopes: ["account:read", "account:write"],
});
const app = await oidc.discovery(issuer, client.id, client.secret, undefined, options);
const browser = openBrowser(service, issuer.origin);
const landing = async (url: URL): Promise<URL> => {
  let arrival: Arrival = await browser.go("GET", url.href);
  if (arrival.page?.text.includes('name="password"')) arrival = await browser.signIn(arrival, "miguel");
  if (arrival.page) arrival = await browser.allow(arrival);
  return urlOf(arrival);
};

/** Goes through a whole authorization. */
async function authorize(config = app, scope = "openid profile account:read") {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const expected = { expectedNonce: oidc.randomNonce(), expectedState: oidc.randomState(), maxAge: 3_600 };
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope,
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    nonce: expected.expectedNonce,
    state: expected.expectedState,
    max_age: "3600",
  });
  const arrived = await landing(url);
  return { arrived, checks: { ...expected, pkceCodeVerifier, idTokenExpected: true } };
}

test("a user signs in, and the client gets user information, refreshes, and signs the user out", async () => {
  const { arrived, checks } = await authorize();
  const tokens = await oidc.authorizationCodeGrant(app, arrived, checks);
  expect(tokens.claims()).toMatchObject({ sub: miguel.id, aud: client.id, preferred_username: "miguel" });

  const userinfo = await oidc.fetchUserInfo(app, tokens.access_token, miguel.id);
  expect(userinfo).toEqual({ sub: miguel.id, preferred_username: "miguel" });

  const refreshed = await oidc.refreshTokenGrant(app, tokens.refresh_token ?? "");
  expect(refreshed.claims()).toMatchObject({ sub: miguel.id, auth_time: tokens.claims()?.auth_time });
  expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);
  const narrowed = await oidc.refreshTokenGrant(app, refreshed.refresh_token ?? "", { scope: "openid" });
  expect(narrowed.scope).toBe("openid");

  const { client_id, client_secret } = await registerClient(service, administrator, { scopes: ["tokens:introspect"] });
  const api = await oidc.discovery(issuer, client_id, client_secret, undefined, options);
  const introspected = () => oidc.tokenIntrospection(api, refreshed.access_token);
  expect(await introspected()).toMatchObject({ active: true, sub: miguel.id, client_id: client.id });
  await oidc.tokenRevocation(app, narrowed.refresh_token ?? "");
  expect(await introspected()).toEqual({ active: false });
  await expect(oidc.refreshTokenGrant(app, narrowed.refresh_token ?? "")).rejects.toMatchObject({
    error: "invalid_grant",
  });

  const signOut = oidc.buildEndSessionUrl(app, {
    id_token_hint: tokens.id_token ?? "",
    post_logout_redirect_uri: signedOutUri,
    state: "bye",
  });
  let left = await browser.go("GET", signOut.href);
  if (left.page) left = await browser.submit(left, {});
  expect(urlOf(left).href).toBe(`${signedOutUri}?state=bye`);
  expect(pageOf(await browser.go("GET", "/oauth/device")).page.text).toContain('name="password"');
});

test("the library's checks of the response pass only if it belongs to the request", async () => {
  const { arrived, checks } = await authorize();
  const mixedUp = new URL(arrived);
  mixedUp.searchParams.set("iss", "https://evil.example");
  const grant = (url: URL, change: object) => oidc.authorizationCodeGrant(app, url, { ...checks, ...change });
  const because = (message: string) => ({ cause: { message: expect.stringContaining(message) } });
  await expect(grant(mixedUp, {})).rejects.toMatchObject(because('"iss"'));
  await expect(grant(arrived, { expectedState: oidc.randomState() })).rejects.toMatchObject(because('"state"'));
  const wrongVerifier = grant(arrived, { pkceCodeVerifier: oidc.randomPKCECodeVerifier() });
  await expect(wrongVerifier).rejects.toMatchObject({ error: "invalid_grant", status: 400 });
  await expect(grant(arrived, {})).resolves.toMatchObject({ token_type: "bearer" });
  await expect(grant(arrived, {})).rejects.toMatchObject({ error: "invalid_grant" });
});

test("a refused request arrives as the library's AuthorizationResponseError", async () => {
  const url = oidc.buildAuthorizationUrl(app, { redirect_uri: redirectUri, scope: "openid", state: "a state" });
  const plain = urlOf(await browser.go("GET", url.href)); // without PKCE
  await expect(oidc.authorizationCodeGrant(app, plain, { expectedState: "a state" })).rejects.toMatchObject({
    name: "AuthorizationResponseError",
    error: "invalid_request",
  });
});

test("a machine gets a token with each way to send its secret", async () => {
  const machine = await registerClient(service, administrator, { scopes: ["users:read"] });
  const { client_id, client_secret } = machine;
  for (const authentication of [oidc.ClientSecretBasic(client_secret), oidc.ClientSecretPost(client_secret)]) {
    const config = await oidc.discovery(issuer, client_id, undefined, authentication, options);
    const { access_token, expires_in } = await oidc.clientCredentialsGrant(config, { scope: "users:read" });
    expect(expires_in).toBe(600);
    const users = await oidc.fetchProtectedResource(config, access_token, new URL("/api/users", issuer), "GET");
    expect(users.status).toBe(200);
  }
  const wrong = await oidc.discovery(issuer, client_id, "a wrong secret", undefined, options);
  await expect(oidc.clientCredentialsGrant(wrong)).rejects.toMatchObject({
    status: 401,
    cause: [{ scheme: "basic" }],
  });
});

test("a device gets tokens once the user has allowed it", async () => {
  const { id } = await insertClient(service, { authentication: "none" });
  const device = await oidc.discovery(issuer, id, undefined, oidc.None(), options);
  const started = await oidc.initiateDeviceAuthorization(device, { scope: "openid account:read" });
  const denied = await oidc.initiateDeviceAuthorization(device, { scope: "openid" });
  const decide = async ({ verification_uri_complete = "", user_code }: typeof started, decision: "allow" | "deny") => {
    let arrival = await browser.go("GET", verification_uri_complete);
    if (arrival.page?.text.includes('name="password"')) arrival = await browser.signIn(arrival, "miguel");
    pageOf(await browser.submit(await browser.submit(arrival, { user_code }), { decision }));
  };
  await decide(started, "allow");
  await decide(denied, "deny");
  const poll = (response: typeof started) => oidc.pollDeviceAuthorizationGrant(device, { ...response, interval: 0 });
  const tokens = await poll(started);
  expect(tokens).toMatchObject({ scope: "openid account:read", refresh_token: expect.any(String) });
  expect(tokens.claims()?.sub).toBe(miguel.id);
  await expect(poll(denied)).rejects.toMatchObject({ error: "access_denied" });
});
