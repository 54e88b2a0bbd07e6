/** ID tokens: what is in them, where they are not accepted, and how they come back as hints. */
import { createHash } from "node:crypto";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import { accessTokenHash } from "../../src/oauth/idTokens.ts";
import { deviceCodeGrant, insertClient } from "../support/clientRows.ts";
import { openBrowser, pageOf, urlOf } from "../support/cookieBrowser.ts";
import { startTestService, type TestService } from "../support/service.ts";
import { startVerifier } from "../support/verifiers.ts";

const service = await startTestService();
const admin = await service.administrator();
const miguel = await service.register("miguel");
const signedOut = "https://app.example/signed-out";
const client = await insertClient(service, { authentication: "none", postLogoutRedirectUris: [signedOut] });
const other = await insertClient(service, { authentication: "none", postLogoutRedirectUris: [signedOut] });
const browser = openBrowser(service);
await browser.signIn(await browser.go("GET", "/oauth/device"), "miguel");

/** Gets tokens with the device flow, which takes the fewest requests. */
async function tokens(scope = "openid", at: TestService = service, by = browser, id = client.id) {
  const start = { client_id: id, scope };
  const { device_code, user_code } = (await at.send("POST", "/oauth/device-authorization", { form: start })).json;
  const confirm = await by.submit(await by.go("GET", "/oauth/device"), { user_code });
  await by.submit(confirm, { decision: "allow" });
  const form = { grant_type: deviceCodeGrant, device_code, client_id: id };
  return (await at.send("POST", "/oauth/token", { form })).json;
}
const { id_token: idToken, access_token: accessToken } = await tokens();

test("at_hash is the one of OpenID Connect Core, appendix A.3", () => {
  expect(accessTokenHash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256")).toBe("77QmUPtjPfzWtF2AnpK9RQ");
});

describe("an ID token", () => {
  test("has the claims of Core, section 2, and no more than the scopes allow", async () => {
    const { iat, exp, auth_time, ...claims } = decodeJwt(idToken);
    expect(claims).toEqual({
      iss: "http://127.0.0.1:8080",
      sub: miguel.id,
      aud: client.id,
      sid: decodeJwt(accessToken)["sid"],
      at_hash: createHash("sha256").update(accessToken).digest().subarray(0, 16).toString("base64url"),
    });
    expect(exp).toBe(Number(iat) + 600);
    expect(Number(auth_time)).toBeLessThanOrEqual(Number(iat));
    expect(decodeProtectedHeader(idToken)).toMatchObject({ alg: "ES256", typ: "JWT", kid: expect.any(String) });
    expect(decodeJwt((await tokens("openid profile")).id_token)["preferred_username"]).toBe("miguel");
    expect(await tokens("account:read")).not.toHaveProperty("id_token");
  });

  test("of a service with EdDSA has an at_hash by SHA-512, as clients expect", async () => {
    const edwards = await startTestService({ SIGNING_ALG: "EdDSA" });
    await edwards.register("miguel");
    const { id } = await insertClient(edwards, { authentication: "none" });
    const by = openBrowser(edwards);
    await by.signIn(await by.go("GET", "/oauth/device"), "miguel");
    const { id_token, access_token } = await tokens("openid", edwards, by, id);
    const half = createHash("sha512").update(access_token).digest().subarray(0, 32).toString("base64url");
    expect(decodeJwt(id_token)["at_hash"]).toBe(half);
    await edwards.close();
  });

  test("is accepted nowhere as an access token", async () => {
    for (const target of ["/oauth/userinfo", "/api/resource", "/api/sessions"]) {
      const answer = await service.send("GET", target, { bearer: idToken });
      expect(answer, target).toMatchObject({ status: 401, problem: "invalid-token" });
    }
    const inspected = await service.send("POST", "/oauth/introspect", { basic: admin, form: { token: idToken } });
    expect(inspected.json).toEqual({ active: false });
    await service.send("POST", "/oauth/revoke", { form: { token: idToken } });
    expect((await service.send("GET", "/oauth/userinfo", { bearer: accessToken })).status).toBe(200);
  });

  test("is rejected by the verifier of another service, whose audience is the client", async () => {
    const verifier = startVerifier({ issuer: "http://127.0.0.1:8080", url: service.url, audience: client.id });
    expect(await verifier.ask(idToken)).toBe("invalid-token");
  });
});

describe("as a hint at sign-out, an ID token", () => {
  const signOut = (parameters: Record<string, string>, by = openBrowser(service)) =>
    by.go("GET", `/oauth/sign-out?${new URLSearchParams(parameters)}`);

  test("names the client, also after it has expired", async () => {
    service.advance(3_600);
    const parameters = { id_token_hint: idToken, post_logout_redirect_uri: signedOut, state: "s" };
    expect(urlOf(await signOut(parameters)).href).toBe(`${signedOut}?state=s`);
    service.advance(-3_600);
  });

  test("of a user who is signed in leads to a question, and then back to the client", async () => {
    const by = openBrowser(service);
    await by.signIn(await by.go("GET", "/oauth/device"), "miguel");
    const parameters = { id_token_hint: idToken, post_logout_redirect_uri: signedOut, state: "s" };
    const question = await signOut(parameters, by);
    expect(pageOf(question).page.header("content-security-policy")).toContain("form-action 'self' https://app.example");
    expect(urlOf(await by.submit(question, {})).href).toBe(`${signedOut}?state=s`);
    expect(by.cookies.has("__Host-latchkey")).toBe(false);
  });

  test("in a form leads to the same question, and does not get into a URL", async () => {
    const by = openBrowser(service);
    await by.signIn(await by.go("GET", "/oauth/device"), "miguel");
    const form = { id_token_hint: idToken, post_logout_redirect_uri: signedOut, state: "s" };
    const headers = { origin: "https://app.example", "sec-fetch-site": "cross-site" };
    const location = (await service.send("POST", "/oauth/sign-out", { form, headers })).header("location");
    expect(location).not.toContain(idToken);
    const question = await by.go("GET", `/oauth/${location}`);
    expect(pageOf(question).page.text).toContain("You are signed in as miguel.");
    expect(urlOf(await by.submit(question, {})).href).toBe(`${signedOut}?state=s`);
  });

  test.each([
    ["of another client", { client_id: other.id }],
    ["with another signature", { id_token_hint: `${idToken.slice(0, -6)}AAAAAA` }],
    ["with other claims", { id_token_hint: changed(idToken) }],
    ["that is an access token", { id_token_hint: accessToken }],
  ])("%s leads to no redirect", async (_label, parameters) => {
    const all = { id_token_hint: idToken, post_logout_redirect_uri: signedOut, ...parameters };
    expect(pageOf(await signOut(all)).page.status).toBe(400);
  });
});

/** The same token for another client, with the old signature. */
function changed(token: string): string {
  const [header, , signature] = token.split(".");
  const claims = Buffer.from(JSON.stringify({ ...decodeJwt(token), aud: other.id })).toString("base64url");
  return `${header}.${claims}.${signature}`;
}
