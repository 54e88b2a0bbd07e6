/** Attacks on authorization (RFC 9700, section 4), against a service with its pages. */
import { describe, expect, test } from "vitest";
import {
  createBrowser,
  openConsent,
  type Query,
  redeem,
  registerApp,
  requestOf,
  resultOf,
  signedInBrowser,
  targetOf,
} from "../support/authorizations.ts";
import { ownAudience, redirectUri } from "../support/oauthCodes.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const administrator = await service.administrator();
const app = await registerApp(service, administrator);
const otherUri = "https://app.example/other";
const twoUris = await registerApp(service, administrator, { redirect_uris: [redirectUri, otherUri] });
await service.register("miguel");
await service.register("susan");
const browser = await signedInBrowser(service, "miguel", app);
const ofSusan = await signedInBrowser(service, "susan", app);

/** Opens the consent page, and asks even if the user has allowed the same before. */
async function ask(from = browser, more: Query = {}, client = app) {
  const { query, verifier } = requestOf(client, { prompt: "consent", ...more });
  return { authorization: await openConsent(from, query), verifier };
}
async function changeClient({ client_id }: { client_id: string }, method: string, json?: unknown): Promise<void> {
  const path = `/api/clients/${client_id}`;
  const etag = (await service.send("GET", path, { basic: administrator })).header("etag") ?? "";
  const answer = await service.send(method, path, {
    basic: administrator,
    headers: { "if-match": etag },
    ...(json !== undefined && { json }),
  });
  expect(answer.status).toBeLessThan(300);
}

describe("the browser is never sent to a URI that is not registered", () => {
  test.each([
    "https://app.example@evil.example/callback",
    "https://evil.example\\@app.example/callback",
    "https://app.example.evil.example/callback",
    "https://app.example/callback/../evil",
    "https://app.example/callback%2f..%2fevil",
    "https://app.example/callback#fragment",
    "https://APP.example/callback",
    "https://app.example./callback",
    "https://аpp.example/callback",
    "https://app.example:443/callback",
    "http://app.example/callback",
    "//app.example/callback",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://app.example/callback\r\nLocation: https://evil.example",
  ])("%j", async (uri) => {
    for (const more of [{}, { response_type: "token" }, { prompt: "none" }]) {
      const answer = await browser.authorize({ ...requestOf(app).query, redirect_uri: uri, ...more });
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      expect(answer.header("location")).toBeUndefined();
      expect(answer.text).not.toContain("evil.example");
    }
  });

  test("with the parameter sent twice", async () => {
    for (const uri of [redirectUri, "https://evil.example"]) {
      const answer = await browser.get(`${targetOf(requestOf(app).query)}&redirect_uri=${encodeURIComponent(uri)}`);
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }
  });
});

describe("a response", () => {
  test("names its issuer, whether it is a code or an error (mix-up)", async () => {
    const { authorization } = await ask();
    expect(resultOf(await browser.decide(authorization, "allow"))).toMatchObject({ iss: ownAudience });
    const again = await ask();
    expect(resultOf(await browser.decide(again.authorization, "deny"))).toMatchObject({ iss: ownAudience });
    expect(resultOf(await browser.authorize({ ...requestOf(app).query, response_type: "x" }))).toMatchObject({
      iss: ownAudience,
    });
  });

  test("contains neither a parameter of the request nor markup that its client did not expect (smuggling)", async () => {
    const state = "x&code=forged&iss=https://evil.example#</script>\r\nSet-Cookie: a=b";
    const { query } = requestOf(app, { state, response_type: "token" });
    const answer = await browser.authorize(query);
    expect(resultOf(answer)).toEqual({
      error: "unsupported_response_type",
      error_description: expect.any(String),
      state,
      iss: ownAudience,
    });
    expect(answer.headers["set-cookie"]).toBeUndefined();
  });

  test("returns a state of the greatest length, and to one of 100 kB is an error without it", async () => {
    const query = requestOf(app, { state: "x".repeat(2_049) }).query;
    expect(resultOf(await browser.authorize(query))).toEqual({
      error: "invalid_request",
      error_description: expect.any(String),
      iss: ownAudience,
    });
    // In a URL, each character is nine.
    const { query: wide } = requestOf(app, { state: "€".repeat(1_200), prompt: "consent" });
    const allowed = await browser.decide(await openConsent(browser, wide), "allow");
    expect(resultOf(allowed)).toMatchObject({ code: expect.any(String), state: wide["state"] });
    const huge = requestOf(app, { state: "x".repeat(100_000) }).query as Record<string, string>;
    expect((await service.send("POST", "/oauth/authorize", { form: huge })).status).toBe(413);
  });
});

describe("a code", () => {
  /** A code that miguel has allowed. */
  async function codeOf(more: Query = {}, client = app) {
    const { authorization, verifier } = await ask(browser, more, client);
    return { code: resultOf(await browser.decide(authorization, "allow"))["code"], verifier };
  }

  test("is not redeemed without its verifier, or with another one (injection)", async () => {
    const { code, verifier } = await codeOf();
    const other = await codeOf();
    expect((await redeem(service, app, { code, verifier: other.verifier })).json.error).toBe("invalid_grant");
    const { client_id } = app;
    const form = { grant_type: "authorization_code", client_id, code: code ?? "", redirect_uri: redirectUri };
    expect((await service.send("POST", "/oauth/token", { form })).json.error).toBe("invalid_request");
    expect((await redeem(service, app, { code, verifier })).status).toBe(200);
  });

  test.each<[string, Query]>([
    ["without a challenge", { code_challenge: undefined, code_challenge_method: undefined }],
    ["without a method", { code_challenge_method: undefined }],
    ["with the method plain", { code_challenge_method: "plain" }],
  ])("is not issued %s (PKCE downgrade)", async (_, more) => {
    const answer = await browser.authorize({ ...requestOf(app).query, ...more });
    expect(resultOf(answer)).toMatchObject({ error: "invalid_request", state: "a state" });
    expect(resultOf(answer)).not.toHaveProperty("code");
  });

  test("is not redeemed with another redirect URI of the same client", async () => {
    const { code, verifier } = await codeOf({}, twoUris);
    const moved = await redeem(service, twoUris, { code, verifier }, { redirect_uri: otherUri });
    expect(moved.json.error).toBe("invalid_grant");
    expect((await redeem(service, twoUris, { code, verifier })).status).toBe(200);
  });

  test("is not redeemed by another client", async () => {
    const { code, verifier } = await codeOf();
    expect((await redeem(service, twoUris, { code, verifier })).json.error).toBe("invalid_grant");
  });

  test("expires after a minute", async () => {
    const { code, verifier } = await codeOf();
    await service.sql("UPDATE authorization_codes SET expires_at = expires_at - interval '61 seconds'");
    expect((await redeem(service, app, { code, verifier })).json.error).toBe("invalid_grant");
  });

  test("ends when the user signs out everywhere", async () => {
    await service.register("linus");
    const own = await signedInBrowser(service, "linus", app);
    const { authorization, verifier } = await ask(own);
    const { code } = resultOf(await own.decide(authorization, "allow"));
    const pending = await ask(own);
    await service.send("DELETE", "/api/sessions", { basic: ["linus", password] });
    expect((await redeem(service, app, { code, verifier })).json.error).toBe("invalid_grant");
    expect((await own.decide(pending.authorization, "allow")).header("location")).toMatch(/^sign-in|^\/oauth\/sign-in/);
  });

  test("is not stored, only its digest", async () => {
    const { code } = await codeOf();
    const [{ found } = { found: undefined }] = await service.sql(
      "SELECT count(*)::int AS found FROM authorization_codes AS row WHERE row::text LIKE $1",
      [`%${code}%`],
    );
    expect(found).toBe(0);
    expect(service.log.join()).not.toContain(code);
  });
});

describe("a sealed request", () => {
  test("of another browser is of no use, at the sign-in and at the consent page", async () => {
    const { authorization } = await ask();
    for (const one of [ofSusan, createBrowser(service)]) {
      expect(await one.get(`/oauth/consent?authorization=${authorization}`)).toMatchObject({ status: 400 });
      expect(await one.decide(authorization, "allow")).toMatchObject({ status: 400, problem: "invalid-request" });
      expect(await one.signIn("susan", authorization)).toMatchObject({ status: 400, problem: "invalid-request" });
    }
    expect(resultOf(await browser.decide(authorization, "allow"))).toHaveProperty("code");
  });

  test("cannot be decided by a user who has not seen it, although the browser is the same", async () => {
    const { authorization } = await ask();
    const shared = createBrowser(service);
    for (const [name, value] of browser.cookies) shared.cookies.set(name, value);
    shared.cookies.set("__Host-latchkey", ofSusan.cookies.get("__Host-latchkey") ?? "");
    expect(await shared.decide(authorization, "allow")).toMatchObject({ status: 400, problem: "invalid-request" });
    // Who has seen it last decides. The form that the other one still has decides nothing.
    expect((await shared.get(`/oauth/consent?authorization=${authorization}`)).status).toBe(200);
    expect(await browser.decide(authorization, "allow")).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(resultOf(await shared.decide(authorization, "allow"))).toHaveProperty("code");
  });

  test("that one user has seen is allowed at once for another one who has allowed the same before", async () => {
    const { query } = requestOf(app);
    await ofSusan.decide(await openConsent(ofSusan, { ...query, prompt: "consent" }), "allow");
    await service.register("ada");
    const shared = await signedInBrowser(service, "ada", app);
    const authorization = await openConsent(shared, query);
    await shared.signIn("susan", authorization);
    const answer = await shared.get(`/oauth/consent?authorization=${authorization}`);
    expect(resultOf(answer)).toHaveProperty("code");
    expect(await shared.decide(authorization, "deny")).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("that one user has denied is not allowed at once for another one who has allowed the same before", async () => {
    const { query } = requestOf(app);
    await ofSusan.decide(await openConsent(ofSusan, { ...query, prompt: "consent" }), "allow");
    await service.register("grace");
    const shared = await signedInBrowser(service, "grace", app);
    const authorization = await openConsent(shared, query);
    expect(resultOf(await shared.decide(authorization, "deny"))).toMatchObject({ error: "access_denied" });
    await shared.signIn("susan", authorization);
    const answer = await shared.get(`/oauth/consent?authorization=${authorization}`);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("is decided once (replay)", async () => {
    const { authorization, verifier } = await ask();
    const { code } = resultOf(await browser.decide(authorization, "allow"));
    expect(resultOf(await browser.decide(authorization, "allow"))["code"]).toBe(code);
    expect(await browser.decide(authorization, "deny")).toMatchObject({ status: 400 });
    expect((await redeem(service, app, { code, verifier })).status).toBe(200);
    expect(await browser.decide(authorization, "allow")).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(await browser.get(`/oauth/consent?authorization=${authorization}`)).toMatchObject({ status: 400 });
  });

  test("expires after ten minutes", async () => {
    const { authorization } = await ask();
    service.advance(601);
    const answer = await browser.decide(authorization, "allow");
    service.advance(-601);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test.each([
    ["garbage", "garbage"],
    ["five parts of garbage", "a.b.c.d.e"],
    ["a plain request", Buffer.from('{"alg":"none"}').toString("base64url").concat("..e30..")],
    ["12 kB", "A".repeat(12_000)],
  ])("that is %s gets a page with a 400", async (_, authorization) => {
    for (const answer of [
      await browser.get(`/oauth/consent?authorization=${authorization}`),
      await browser.decide(authorization, "allow"),
    ]) {
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    }
  });

  test("is rejected if its client was changed or deleted", async () => {
    for (const [method, change] of [["PATCH", { scopes: ["account:read"] }], ["DELETE"]] as const) {
      const client = await registerApp(service, administrator);
      const { authorization } = await ask(browser, {}, client);
      await changeClient(client, method, change);
      for (const decision of ["allow", "deny"] as const) {
        const answer = await browser.decide(authorization, decision);
        expect(answer, `${method} ${decision}`).toMatchObject({ status: 400, problem: "invalid-request" });
        expect(answer.header("location")).toBeUndefined();
      }
    }
  });

  test("does not return to a redirect URI that was removed meanwhile", async () => {
    const client = await registerApp(service, administrator);
    const { authorization } = await ask(browser, {}, client);
    await changeClient(client, "PATCH", { redirect_uris: [otherUri] });
    const answer = await browser.get(`/oauth/consent?authorization=${authorization}`);
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(answer.header("location")).toBeUndefined();
  });
});

describe("concurrent decisions", () => {
  test("50 times to allow, are one decision with one code", async () => {
    const { authorization } = await ask();
    const answers = await Promise.all(Array.from({ length: 50 }, () => browser.decide(authorization, "allow")));
    const codes = new Set(answers.filter(({ status }) => status === 303).map((answer) => resultOf(answer)["code"]));
    expect(codes.size).toBe(1);
    const [{ found } = { found: undefined }] = await service.sql(
      `SELECT count(*)::int AS found FROM audit_events
       WHERE event = 'authorization-allowed' AND occurred_at > now() - interval '20 seconds'
         AND request_id::text = ANY($1)`,
      [answers.map((answer) => answer.header("x-request-id"))],
    );
    expect(found).toBe(1);
  });

  test("to allow and to deny, are one of them", async () => {
    for (let round = 0; round < 10; round += 1) {
      const { authorization } = await ask();
      const answers = await Promise.all(
        (["allow", "deny"] as const).map((decision) => browser.decide(authorization, decision)),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([303, 400]);
    }
  });

  test("and the withdrawal of the grant leave no session behind", async () => {
    for (let round = 0; round < 10; round += 1) {
      const { authorization, verifier } = await ask();
      const { code } = resultOf(await browser.decide(authorization, "allow"));
      const { json } = await service.send("GET", "/api/grants", { basic: ["miguel", password] });
      const grant = json.grants.find(({ client_id }: { client_id: string }) => client_id === app.client_id);
      await Promise.all([
        redeem(service, app, { code, verifier }),
        service.send("DELETE", `/api/grants/${grant.id}`, { basic: ["miguel", password] }),
      ]);
    }
    const left = await service.sql(
      `SELECT id FROM sessions
       WHERE client_id IS NOT NULL AND ended_at IS NULL AND NOT EXISTS (SELECT FROM grants WHERE grants.id = grant_id)`,
    );
    expect(left).toEqual([]);
  });
});

test("requests of strangers add no rows", async () => {
  const count = async () => (await service.sql("SELECT count(*)::int AS rows FROM authorizations"))[0]?.["rows"];
  const before = await count();
  for (let request = 0; request < 5; request += 1) await createBrowser(service).authorize(requestOf(app).query);
  expect(await count()).toBe(before);
});

test("a native client is always asked, because another program can have its redirect URI", async () => {
  const native = await registerApp(service, administrator, {
    first_party: true,
    redirect_uris: ["http://127.0.0.1/callback", "http://localhost:51004/callback", "com.example.app:/callback"],
  });
  const uris = ["http://127.0.0.1:51004/callback", "http://localhost:51004/callback", "com.example.app:/callback"];
  for (const uri of uris) {
    const { query } = requestOf(native, { redirect_uri: uri });
    const authorization = await openConsent(browser, query);
    expect((await browser.decide(authorization, "allow")).header("location")).toContain(`${uri}?code=`);
    await openConsent(browser, requestOf(native, { redirect_uri: uri }).query);
  }
});

test("max_age and prompt=login require a new sign-in", async () => {
  for (const more of [{ max_age: "0" }, { prompt: "login" }, { prompt: "select_account" }]) {
    const answer = await browser.authorize(requestOf(app, more).query);
    expect(answer.header("location"), JSON.stringify(more)).toMatch(/^\/oauth\/sign-in\?/);
    const { authorization } = resultOf(answer);
    const page = await browser.get(`/oauth/consent?authorization=${authorization}`);
    expect(page.header("location")).toMatch(/sign-in/);
    const silent = await browser.authorize(requestOf(app, { ...more, prompt: "none", max_age: "0" }).query);
    expect(resultOf(silent)).toMatchObject({ error: "login_required" });
  }
  const { authorization = "" } = resultOf(await browser.authorize(requestOf(app, { prompt: "login" }).query));
  await browser.signIn("miguel", authorization);
  expect((await browser.get(`/oauth/consent?authorization=${authorization}`)).status).not.toBe(400);
});
