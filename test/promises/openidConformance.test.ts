/**
 * The modules of the basic profile of the OpenID Foundation's conformance suite ("oidcc-basic-certification-test-plan"), each as a
 * test under its name there. The suite sends most requests without PKCE, which OAuth 2.1 requires: every request here has it. The
 * modules that do not apply are in `notApplicable`, with what this service does instead.
 */
import { createHash, randomBytes } from "node:crypto";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { insertClient } from "../support/clientRows.ts";
import { type Arrival, type CookieBrowser, openBrowser, pageOf, urlOf } from "../support/cookieBrowser.ts";
import { startTestService } from "../support/service.ts";

const issuer = "http://127.0.0.1:8080";
const redirectUri = "https://app.example/callback";
const service = await startTestService({ SIGNING_ALG: "RS256" });
const miguel = await service.register("miguel");
const susan = await service.register("susan");
const client = await insertClient(service, { redirectUris: [redirectUri], scopes: ["account:read"] });
const other = await insertClient(service);
const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));

type Parameters = Record<string, string | undefined>;
type Tokens = { access_token: string; id_token: string; refresh_token: string; scope: string };
type Request = { parameters: Record<string, string>; verifier: string };

/** A request of the suite: with state, nonce and PKCE. A parameter that is `undefined` is left out. */
function request(changes: Parameters = {}): Request {
  const verifier = randomBytes(32).toString("base64url");
  const all: Parameters = {
    client_id: client.id,
    redirect_uri: redirectUri,
    scope: "openid",
    response_type: "code",
    state: randomBytes(8).toString("hex"),
    nonce: randomBytes(8).toString("hex"),
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...changes,
  };
  const parameters = Object.fromEntries(Object.entries(all).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])));
  return { parameters, verifier };
}

const send = (browser: CookieBrowser, { parameters }: Request): Promise<Arrival> =>
  browser.go("GET", `/oauth/authorize?${new URLSearchParams(parameters)}`);

/** Signs in and allows, if the pages ask for it. */
async function interact(browser: CookieBrowser, arrival: Arrival): Promise<URL> {
  let at = arrival;
  if (at.page && at.target.startsWith("/oauth/sign-in")) at = await browser.signIn(at, "miguel");
  if (at.page && at.target.startsWith("/oauth/consent")) at = await browser.allow(at);
  return urlOf(at);
}

const basic: [string, string] = [client.id, client.secret];
const redeem = (code: string, verifier: string) =>
  service.send("POST", "/oauth/token", {
    basic,
    form: { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: redirectUri },
  });

/** Redeems the code of a response, after checking the response. */
async function tokensOf(response: URL, { parameters, verifier }: Request): Promise<Tokens & { claims: JWTPayload }> {
  expect(response.href.startsWith(`${redirectUri}?`)).toBe(true);
  expect(response.searchParams.get("state")).toBe(parameters["state"] ?? null);
  expect(response.searchParams.get("iss")).toBe(issuer);
  const answer = await redeem(response.searchParams.get("code") ?? "", verifier);
  expect(answer.status, answer.text).toBe(200);
  expect(answer.header("cache-control")).toBe("no-store");
  const tokens: Tokens = answer.json;
  return { ...tokens, claims: await verified(tokens, parameters["nonce"]) };
}

/** OpenID Connect Core, section 3.1.3.7. */
async function verified({ id_token, access_token }: Tokens, nonce: string | undefined): Promise<JWTPayload> {
  const { payload } = await jwtVerify(id_token, keys, {
    issuer,
    audience: client.id,
    requiredClaims: ["sub", "iat", "exp", "auth_time", "sid"],
  });
  expect(payload["nonce"]).toBe(nonce);
  const half = createHash("sha256").update(access_token).digest().subarray(0, 16).toString("base64url");
  expect(payload["at_hash"]).toBe(half);
  expect(payload.sub).toBe(miguel.id);
  return payload;
}

/** A whole flow in a browser. */
async function flow(changes: Parameters = {}, browser = openBrowser(service)) {
  const sent = request(changes);
  const arrival = await send(browser, sent);
  return { browser, arrival, ...(await tokensOf(await interact(browser, arrival), sent)) };
}
const userinfo = (bearer: string, method = "GET") => service.send(method, "/oauth/userinfo", { bearer });
/** As if the user had signed in an hour ago. */
const anHourLater = () =>
  service.sql("UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE is_browser");

/** The modules that do not apply, with what happens instead. */
const notApplicable: Record<string, { why: string; instead: () => Promise<void> }> = {
  "oidcc-idtoken-unsigned": {
    why: "no client can be registered for ID tokens without a signature, and they are not in the metadata",
    async instead() {
      const { json } = await service.send("GET", "/.well-known/openid-configuration");
      expect(json.id_token_signing_alg_values_supported).toEqual(["RS256"]);
    },
  },
  ...Object.fromEntries(
    ["email", "address", "phone"].map((scope) => [
      `oidcc-scope-${scope}`,
      {
        why: `the scope ${scope} is not in scopes_supported: the service knows no such claims`,
        async instead() {
          const { json } = await service.send("GET", "/.well-known/openid-configuration");
          expect(json.scopes_supported).not.toContain(scope);
          expect(await flow({ scope: `openid ${scope}` })).toMatchObject({ scope: "openid" });
        },
      },
    ]),
  ),
  "oidcc-ensure-request-object-with-redirect-uri": {
    why: "request objects are not supported, and the metadata says so",
    async instead() {
      const object = { redirect_uri: "https://evil.example", client_id: client.id };
      const text = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify(object)).toString("base64url")}.`;
      const response = urlOf(await send(openBrowser(service), request({ request: text })));
      expect(response.origin).toBe("https://app.example");
      expect(response.searchParams.get("error")).toBe("request_not_supported");
    },
  },
};

describe("the basic profile", () => {
  test("oidcc-server", async () => {
    const { access_token, refresh_token, scope } = await flow();
    expect((await userinfo(access_token)).json).toEqual({ sub: miguel.id });
    expect(refresh_token).toEqual(expect.any(String));
    expect(scope).toBe("openid");
  });

  test("oidcc-response-type-missing", async () => {
    const sent = request({ response_type: undefined });
    const response = urlOf(await send(openBrowser(service), sent));
    expect(response.searchParams.get("error")).toBe("invalid_request");
    expect(response.searchParams.get("state")).toBe(sent.parameters["state"]);
  });

  test("oidcc-idtoken-signature", async () => {
    const { id_token } = await flow();
    const { alg, kid, typ } = decodeProtectedHeader(id_token);
    expect({ alg, typ }).toEqual({ alg: "RS256", typ: "JWT" });
    expect(
      (await service.send("GET", "/.well-known/jwks.json")).json.keys.map((key: { kid: string }) => key.kid),
    ).toContain(kid);
  });

  test("oidcc-userinfo-get", async () => {
    const { access_token, claims } = await flow();
    expect((await userinfo(access_token)).json.sub).toBe(claims.sub);
  });

  test("oidcc-userinfo-post-header", async () => {
    const { access_token, claims } = await flow();
    expect((await userinfo(access_token, "POST")).json.sub).toBe(claims.sub);
  });

  test("oidcc-userinfo-post-body", async () => {
    // Servers need not accept this: OAuth 2.1 leaves it out.
    const { access_token } = await flow();
    expect((await service.send("POST", "/oauth/userinfo", { form: { access_token } })).status).toBe(401);
  });

  test("oidcc-ensure-request-without-nonce-succeeds-for-code-flow", async () => {
    expect((await flow({ nonce: undefined })).claims).not.toHaveProperty("nonce");
  });

  test("oidcc-scope-profile", async () => {
    const { access_token, claims } = await flow({ scope: "openid profile" });
    expect(claims["preferred_username"]).toBe("miguel");
    expect((await userinfo(access_token)).json).toEqual({ sub: miguel.id, preferred_username: "miguel" });
  });

  test("oidcc-scope-all", async () => {
    const { scope, claims } = await flow({ scope: "openid profile email address phone offline_access" });
    expect(scope).toBe("openid profile offline_access");
    expect(claims["preferred_username"]).toBe("miguel");
  });

  test("oidcc-alternate-happy-flow", async () => {
    const sent = request({ scope: "profile openid" });
    const browser = openBrowser(service);
    const reversed = Object.fromEntries(Object.entries(sent.parameters).reverse());
    const arrival = await send(browser, { ...sent, parameters: reversed });
    expect((await tokensOf(await interact(browser, arrival), sent)).scope).toBe("profile openid");
  });

  test.each([
    ["oidcc-display-page", { display: "page" }],
    ["oidcc-display-popup", { display: "popup" }],
    ["oidcc-ensure-request-with-unknown-parameter-succeeds", { extra: "foobar" }],
    ["oidcc-ui-locales", { ui_locales: "se" }],
    ["oidcc-claims-locales", { claims_locales: "se" }],
    ["oidcc-ensure-request-with-acr-values-succeeds", { acr_values: "1 2" }],
    ["oidcc-claims-essential", { claims: '{"userinfo":{"name":{"essential":true}}}' }],
  ])("%s", async (_name, parameters) => {
    await flow(parameters);
  });

  test("oidcc-login-hint", async () => {
    const browser = openBrowser(service);
    const sent = request({ login_hint: "miguel" });
    const arrival = await send(browser, sent);
    expect(pageOf(arrival).page.text).toContain('value="miguel"');
    await tokensOf(await interact(browser, arrival), sent);
  });

  test("oidcc-prompt-login", async () => {
    const first = await flow();
    await anHourLater();
    const earlier = await flow({}, first.browser);
    const second = await flow({ prompt: "login" }, first.browser);
    expect(pageOf(second.arrival).target).toContain("/oauth/sign-in");
    expect(Number(second.claims["auth_time"])).toBeGreaterThan(Number(earlier.claims["auth_time"]));
  });

  test("oidcc-prompt-none-not-logged-in", async () => {
    const sent = request({ prompt: "none" });
    const response = urlOf(await send(openBrowser(service), sent));
    expect(response.searchParams.get("error")).toBe("login_required");
    expect(response.searchParams.get("state")).toBe(sent.parameters["state"]);
  });

  test("oidcc-prompt-none-logged-in", async () => {
    const first = await flow();
    const second = await flow({ prompt: "none" }, first.browser);
    expect(second.arrival.url).toBeDefined();
    expect(second.claims).toMatchObject({ sub: first.claims.sub, auth_time: first.claims["auth_time"] });
  });

  test("oidcc-max-age-1", async () => {
    const { browser } = await flow();
    await anHourLater();
    const { claims } = await flow({}, browser);
    const again = await flow({ max_age: "1" }, browser);
    expect(pageOf(again.arrival).target).toContain("/oauth/sign-in");
    expect(Number(again.claims["auth_time"])).toBeGreaterThan(Number(claims["auth_time"]));
  });

  test("oidcc-max-age-10000", async () => {
    const first = await flow({ max_age: "15000" });
    const second = await flow({ max_age: "10000" }, first.browser);
    expect(second.arrival.url).toBeDefined();
    expect(second.claims).toMatchObject({ sub: first.claims.sub, auth_time: first.claims["auth_time"] });
  });

  test("oidcc-id-token-hint", async () => {
    const first = await flow();
    const second = await flow({ prompt: "none", id_token_hint: first.id_token }, first.browser);
    expect(second.arrival.url).toBeDefined();
    expect(second.claims.sub).toBe(first.claims.sub);
    // The suite has one user. This is what the module is for.
    const third = openBrowser(service);
    await third.signIn(await third.go("GET", "/oauth/device"), susan.username);
    const refused = urlOf(await send(third, request({ prompt: "none", id_token_hint: first.id_token })));
    expect(refused.searchParams.get("error")).toBe("login_required");
  });

  test.each(["oidcc-codereuse", "oidcc-codereuse-30seconds"])("%s", async (name) => {
    const browser = openBrowser(service);
    const sent = request();
    const response = await interact(browser, await send(browser, sent));
    const { access_token } = await tokensOf(response, sent);
    if (name.endsWith("30seconds")) {
      await service.sql("UPDATE authorization_codes SET redeemed_at = redeemed_at - interval '30 seconds'");
    }
    const again = await redeem(response.searchParams.get("code") ?? "", sent.verifier);
    expect(again).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
    expect((await userinfo(access_token)).problem).toBe("token-revoked");
  });

  test("oidcc-ensure-registered-redirect-uri", async () => {
    const arrival = await send(openBrowser(service), request({ redirect_uri: `${redirectUri}/foo` }));
    expect(pageOf(arrival).page.status).toBe(400);
  });

  test("oidcc-ensure-post-request-succeeds", async () => {
    const browser = openBrowser(service);
    const sent = request();
    const arrival = await browser.go("POST", "/oauth/authorize", sent.parameters);
    await tokensOf(await interact(browser, arrival), sent);
  });

  test("oidcc-server-client-secret-post", async () => {
    const browser = openBrowser(service);
    const { verifier, parameters } = request();
    const response = await interact(browser, await send(browser, { verifier, parameters }));
    const code = response.searchParams.get("code") ?? "";
    const form = { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: redirectUri };
    const authenticated = { ...form, client_id: client.id, client_secret: client.secret };
    const answer = await service.send("POST", "/oauth/token", { form: authenticated });
    expect(answer.status, answer.text).toBe(200);
    await verified(answer.json, parameters["nonce"]);
  });

  test.each([
    ["oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", "request_uri"],
    ["oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", "request"],
  ])("%s", async (_name, parameter) => {
    const value = parameter === "request" ? "eyJhbGciOiJub25lIn0.e30." : "https://app.example/request.jwt";
    const response = urlOf(await send(openBrowser(service), request({ [parameter]: value })));
    expect(response.searchParams.get("error")).toBe(`${parameter}_not_supported`);
  });

  test("oidcc-refresh-token", async () => {
    const first = await flow({ scope: "openid offline_access" });
    const refresh = (by: [string, string], refresh_token: string) =>
      service.send("POST", "/oauth/token", { basic: by, form: { grant_type: "refresh_token", refresh_token } });
    const stolen = await refresh([other.id, other.secret], first.refresh_token);
    expect(stolen).toMatchObject({ status: 400, json: { error: "invalid_grant" } });
    const { status, json } = await refresh(basic, first.refresh_token);
    expect(status).toBe(200);
    const claims = await verified(json, undefined);
    expect(claims).toMatchObject({
      sub: first.claims.sub,
      auth_time: first.claims["auth_time"],
      sid: first.claims["sid"],
    });
    expect(decodeJwt(json.access_token)["auth_time"]).toBe(first.claims["auth_time"]);
    expect((await userinfo(json.access_token)).status).toBe(200);
  });

  test("oidcc-ensure-request-with-valid-pkce-succeeds", async () => {
    await flow();
    const response = urlOf(await send(openBrowser(service), request({ code_challenge: undefined })));
    expect(response.searchParams.get("error")).toBe("invalid_request");
  });

  for (const [name, { why, instead }] of Object.entries(notApplicable)) {
    test(`${name} does not apply: ${why}`, instead);
  }
});
