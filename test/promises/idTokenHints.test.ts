/** `id_token_hint` of an authorization request: nobody but the user of the ID token gets a code (OpenID Connect Core, section 3.1.2.1). */
import { decodeJwt } from "jose";
import { describe, expect, test } from "vitest";
import {
  type Browser,
  createBrowser,
  parametersOf,
  type Query,
  redeem,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
} from "../support/authorizations.ts";
import { ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { password, startTestService, type TestService } from "../support/service.ts";

const service = await startTestService();
const elsewhere = await startTestService({ PUBLIC_URL: "https://other.example" }, service.databaseUrl);
const administrator = await service.administrator();
const app = await registerApp(service, administrator, { first_party: true });
const asking = await registerApp(service, administrator);
const miguel = await service.register("miguel");
await service.register("susan");
const ofMiguel = await signedInBrowser(service, "miguel", app);
const ofSusan = await signedInBrowser(service, "susan", app);

/** The tokens of a sign-in without a question. */
async function tokensOf(browser: Browser, scope: string) {
  const { query, verifier } = requestOf(app, { scope });
  const { code } = resultOf(await browser.authorize(query));
  return (await redeem(service, app, { code, verifier })).json;
}
const { id_token: hint, access_token: accessToken } = await tokensOf(ofMiguel, "openid account:read");
const { id_token: namedHint } = await tokensOf(ofMiguel, "openid profile");

async function authorize(browser: Browser, more: Query = {}, client = app) {
  const { query, verifier } = requestOf(client, { id_token_hint: hint, ...more });
  return { answer: await browser.authorize(query), verifier };
}
const authorizationOf = (location: string | undefined): string => parametersOf(location ?? "")["authorization"] ?? "";

describe("the user of the hint", () => {
  test.each(["none", "consent", undefined])("who is signed in gets a code, with prompt=%s", async (prompt) => {
    const { answer, verifier } = await authorize(ofMiguel, { prompt });
    const location = answer.header("location") ?? "";
    const done = prompt === "consent" ? await allow(ofMiguel, authorizationOf(location)) : answer;
    const { json } = await redeem(service, app, { code: resultOf(done)["code"], verifier });
    expect(decodeJwt(json.id_token).sub).toBe(miguel.id);
  });

  test("is recognized by an ID token that has expired", async () => {
    service.advance(3_600);
    const { answer } = await authorize(ofMiguel, { prompt: "none" });
    service.advance(-3_600);
    expect(resultOf(answer)).toHaveProperty("code");
  });

  test("need no longer exist: then no other user gets a code", async () => {
    await service.register("linus");
    const browser = await signedInBrowser(service, "linus", app);
    const { id_token } = await tokensOf(browser, "openid");
    await service.send("DELETE", "/api/users/me", { basic: ["linus", password] });
    const { answer } = await authorize(ofSusan, { id_token_hint: id_token, prompt: "none" });
    expect(resultOf(answer)).toMatchObject({ error: "login_required" });
  });
});

/** Decides at the consent page. */
async function allow(browser: Browser, authorization: string) {
  await browser.get(`/oauth/consent?authorization=${authorization}`);
  return browser.decide(authorization, "allow");
}

describe("another user who is signed in", () => {
  test.each([
    ["another user", () => ofSusan],
    ["nobody", () => createBrowser(service)],
  ])("is login_required for prompt=none: %s", async (_label, browser) => {
    const { answer } = await authorize(browser(), { prompt: "none" });
    expect(answer.header("location")).toContain(`${redirectUri}?error=login_required&`);
    expect(resultOf(answer)).toMatchObject({ state: "a state", iss: ownAudience });
  });

  test("is asked for the user of the hint, until that one has signed in", async () => {
    const browser = await signedInBrowser(service, "susan", app);
    const { answer, verifier } = await authorize(browser, { id_token_hint: namedHint, login_hint: "susan" });
    expect(answer.header("location")).toMatch(/^\/oauth\/sign-in\?/);
    const authorization = authorizationOf(answer.header("location"));
    const page = await browser.get(answer.header("location") ?? "");
    expect(page.text).toContain('value="miguel"');
    expect(page.text).toContain("Signed in as susan.");
    expect(page.text).toContain("Use the account that you have used there before.");
    for (const username of ["susan", "miguel"]) {
      expect((await browser.signIn(username, authorization)).header("location")).toMatch(/^consent\?/);
      const next = await browser.get(`/oauth/consent?authorization=${authorization}`);
      const { code } = resultOf(next);
      if (username === "susan") expect(next.header("location")).toBe(`sign-in?authorization=${authorization}`);
      else expect((await redeem(service, app, { code, verifier })).status).toBe(200);
    }
  });

  test("does not learn the username from an ID token without it", async () => {
    const { answer } = await authorize(createBrowser(service), { login_hint: "a guess" });
    expect(answer.header("location")).toMatch(/^\/oauth\/sign-in\?/);
    const browser = createBrowser(service);
    const { answer: own } = await authorize(browser, { login_hint: "a guess" });
    const page = await browser.get(own.header("location") ?? "");
    expect(page.text).toContain('value="a guess"');
    expect(page.text).not.toContain("miguel");
  });

  test("decides nothing with the form that the user of the hint has left open", async () => {
    const browser = await signedInBrowser(service, "miguel", app);
    const { id_token } = await tokensOf(browser, "openid");
    const { query } = requestOf(app, { id_token_hint: id_token, prompt: "consent" });
    const authorization = authorizationOf((await browser.authorize(query)).header("location"));
    expect((await browser.get(`/oauth/consent?authorization=${authorization}`)).status).toBe(200);
    const other = await authorize(browser, { id_token_hint: undefined, prompt: "login" });
    await browser.signIn("susan", authorizationOf(other.answer.header("location")));
    for (const decision of ["allow", "deny"] as const) {
      const answer = await browser.decide(authorization, decision);
      expect(answer.header("location"), decision).toBe(`sign-in?authorization=${authorization}`);
    }
  });

  test("cannot see or decide it at the page of a team", async () => {
    const team = await startTestService({ AUTHORIZATION_PAGE_URL: "https://team.example" }, service.databaseUrl);
    const asked = (await createBrowser(team).authorize(requestOf(app, { id_token_hint: hint }).query)).header(
      "location",
    );
    const path = `/api/authorizations/${parametersOf(asked ?? "")["authorization_id"]}`;
    const call = (username: string, method: "GET" | "POST") =>
      team.send(method, path, {
        basic: [username, password],
        ...(method === "POST" && { json: { decision: "allow" } }),
      });
    for (const method of ["GET", "POST"] as const) {
      expect(await call("susan", method)).toMatchObject({ status: 403, problem: "login-required" });
    }
    expect((await call("miguel", "GET")).status).toBe(200);
    expect((await call("miguel", "POST")).json.redirect_uri).toContain("?code=");
    const silent = await createBrowser(team).authorize(requestOf(app, { id_token_hint: hint, prompt: "none" }).query);
    expect(resultOf(silent)).toMatchObject({ error: "login_required" });
    await team.close();
  });
});

describe("the client is told that a hint is not valid", () => {
  test.each<[string, () => Promise<string> | string]>([
    ["with another signature", () => `${hint.slice(0, -6)}AAAAAA`],
    ["with other claims", () => altered(hint, { sub: miguel.id, aud: app.client_id, iss: ownAudience, exp: 2 ** 33 })],
    ["that is an access token", () => accessToken],
    ["that is no token", () => "x"],
    ["of another issuer with the same keys", () => foreignToken(elsewhere)],
  ])("%s", async (_label, wrong) => {
    for (const browser of [ofMiguel, createBrowser(service)]) {
      for (const prompt of [undefined, "none"]) {
        const { answer } = await authorize(browser, { id_token_hint: await wrong(), prompt });
        expect(answer.header("location")).toContain(`${redirectUri}?error=invalid_request&`);
        expect(resultOf(answer)).toMatchObject({ state: "a state", iss: ownAudience });
      }
    }
  });

  test("of another client", async () => {
    const { answer } = await authorize(ofMiguel, {}, asking);
    expect(resultOf(answer)).toMatchObject({ error: "invalid_request" });
  });

  test("sent twice", async () => {
    const { query } = requestOf(app, { id_token_hint: hint });
    const text = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value ?? "")}`);
    const answer = await ofMiguel.get(`/oauth/authorize?${text.join("&")}&id_token_hint=${hint}`);
    expect(resultOf(answer)).toMatchObject({ error: "invalid_request" });
  });
});

/** An ID token with the old signature. */
function altered(token: string, claims: object): string {
  const [header, , signature] = token.split(".");
  return `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.${signature}`;
}

/** An ID token of a service with another issuer, and the same database. */
async function foreignToken(other: TestService): Promise<string> {
  const browser = createBrowser(other);
  const { query, verifier } = requestOf(app, { scope: "openid" });
  const authorization = authorizationOf((await browser.authorize(query)).header("location"));
  await browser.signIn("miguel", authorization);
  const { code } = resultOf(await browser.get(`/oauth/consent?authorization=${authorization}`));
  return (await redeem(other, app, { code, verifier })).json.id_token;
}
