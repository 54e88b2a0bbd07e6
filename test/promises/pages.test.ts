/** The pages for sign-in and consent: escaping, headers, cookies, and requests of other sites. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { contrast, readableOn } from "../../src/pages/color.ts";
import { html } from "../../src/pages/html.ts";
import { createPages } from "../../src/pages/pages.ts";
import { Problem } from "../../src/problems/problems.ts";
import { callback, createPageBrowser, type PageBrowser, storeClient } from "../support/pageBrowser.ts";
import { password, startTestService } from "../support/service.ts";

const here = await startTestService({ PAGES_REGISTRATION: "on" });
const there = await startTestService({ SESSIONS_PER_USER: "2" }, here.databaseUrl);
const client = await storeClient(here);

/** A browser whose user is signed in. */
async function signedIn(username: string): Promise<{ browser: PageBrowser; authorization: string }> {
  const browser = createPageBrowser(here);
  const authorization = await browser.begin(client);
  expect((await browser.signIn(authorization, username)).status).toBe(303);
  return { browser, authorization };
}

/** Who is signed in, as the second instance sees it. */
async function userThere({ cookies }: PageBrowser): Promise<string | undefined> {
  const other = createPageBrowser(there);
  for (const [name, value] of cookies) other.cookies.set(name, value);
  const page = await other.open("/oauth/sign-out");
  return /You are signed in as ([^.]+)\./.exec(page.text)?.[1];
}

describe("escaping", () => {
  const hostile = `"'><img src=x onerror=alert(1)>&amp;<script>alert(2)</script></style>{{7*7}}\u2028`;

  test("every value is text, in elements and in attributes", () => {
    const pages = createPages({ name: hostile, logoUrl: undefined, color: "#000000", isRegistrationOpen: true });
    const state = { authorization: hostile, userCode: hostile, token: hostile };
    const error = { text: hostile, problem: "invalid-request", fields: ["username", "password", "code"] } as const;
    const access = {
      client: { name: hostile, policyUri: `https://${hostile}`, tosUri: `https://a.example/${hostile}` },
      scopes: [{ description: hostile }],
      api: hostile,
      username: hostile,
    };
    const problem = new Problem("invalid-request", {
      detail: hostile,
      errors: [{ parameter: hostile, detail: hostile }],
    });
    const credentials = { state, username: hostile, error, client: hostile, signedInAs: hostile, formTarget: hostile };
    const all = [
      pages.signInPage(credentials),
      pages.signUpPage(credentials),
      pages.consentPage({ ...access, state, host: hostile, formTarget: hostile }),
      pages.devicePage({ state, username: hostile, error }),
      pages.deviceConfirmPage({ ...access, state }),
      pages.signOutPage({ state, username: hostile, formTarget: hostile }),
      pages.messagePage({ title: hostile, text: hostile }),
      pages.errorPage(problem, problem.body(hostile)),
    ];
    for (const { body, headers } of all) {
      expect(body).toContain("&quot;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;&lt;script&gt;");
      expect(body).not.toMatch(/<script|<img|onerror=alert\(1\)>|javascript:/);
      expect(body.match(/<\/style>/g)).toHaveLength(1);
      expect(headers["Content-Security-Policy"]).not.toMatch(/[<>"]|alert/);
    }
  });

  test("only what html has made is markup", () => {
    expect(html`<p>${"<b>"}</p>`.markup).toBe("<p>&lt;b&gt;</p>");
    expect(html`<p>${[html`<b>`, html`${1}`]}${undefined}</p>`.markup).toBe("<p><b>1</p>");
    const forged = JSON.parse('{"markup":"<script>"}');
    expect(() => html`${forged}`).toThrow(TypeError);
    expect(html`${"\ud800"}`.markup).toBe("\ufffd");
  });

  const consentOf = (links: { policyUri: string; tosUri: string }): string => {
    const pages = createPages({ name: "x", logoUrl: undefined, color: "#000000", isRegistrationOpen: false });
    const request = { scopes: [], username: "x", state: {}, host: "x", formTarget: "https://x" };
    return pages.consentPage({ client: { name: "x", ...links }, ...request }).body;
  };

  test("a client cannot link to a script", () => {
    const body = consentOf({ policyUri: "javascript:alert(1)", tosUri: "http://a.example" });
    expect(body).not.toContain("Privacy policy");
    expect(body).not.toContain("Terms");
  });

  test("a client can link to its policy and its terms", () => {
    const body = consentOf({ policyUri: "https://a.example/policy", tosUri: "https://a.example/terms" });
    expect(body).toMatch(/<a href="https:\/\/a\.example\/policy"[^>]*>Privacy policy<\/a>/);
    expect(body).toMatch(/<a href="https:\/\/a\.example\/terms"[^>]*>Terms of service<\/a>/);
  });

  test("a link cannot put a message on an error page", async () => {
    for (const path of ["/oauth/sign-in", "/oauth/sign-out", "/oauth/device", "/oauth/authorize"]) {
      const message = "Your account is locked. Call 0800 123.";
      const { status, text } = await here.send(
        "GET",
        `${path}?${encodeURIComponent(message)}=${encodeURIComponent(message)}`,
      );
      expect(text, `${path} ${status}`).not.toContain("locked");
    }
  });

  test("hostile names and states stay text through the whole flow", async () => {
    const { username } = await here.register();
    const named = await storeClient(here, { name: hostile });
    const browser = createPageBrowser(here);
    const authorization = await browser.begin(named, { state: hostile.replace("\u2028", ""), login_hint: "<b>hint" });
    const page = await browser.open(`/oauth/sign-in?authorization=${authorization}`);
    expect(page.text).toContain('value="&lt;b&gt;hint"');
    expect(page.text).not.toMatch(/<b>|<script|<img/);
    const wrong = await browser.signIn(authorization, "<script>alert(3)</script>", "a wrong password");
    expect(wrong.text).toContain('value="&lt;script&gt;alert(3)&lt;/script&gt;"');
    await browser.signIn(authorization, username);
    const consent = await browser.open(`/oauth/consent?authorization=${authorization}`);
    expect(consent.text).not.toMatch(/<script|<img/);
    const answer = await browser.submit("/oauth/consent", { authorization, decision: "deny" });
    expect(new URL(answer.header("location") ?? "").searchParams.get("state")).toBe(hostile.replace("\u2028", ""));
  });
});

test("the text of buttons is readable on every color", () => {
  for (let shade = 0; shade < 0x1000000; shade += 0x010203) {
    const color = `#${shade.toString(16).padStart(6, "0")}`;
    expect(contrast(color, readableOn(color)), color).toBeGreaterThan(4.5);
  }
  expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
});

describe("headers", () => {
  test("a page allows no script, no frame and no cache, and its style by a hash", async () => {
    const browser = createPageBrowser(here);
    const authorization = await browser.begin(client);
    const pages = [
      await browser.open(`/oauth/sign-in?authorization=${authorization}`),
      await browser.signIn(authorization, "nobody"),
      await browser.open("/oauth/sign-out"),
      await browser.open("/oauth/sign-in?surprise=1"),
    ];
    for (const { text, header } of pages) {
      const [, style = ""] = /<style>([\s\S]*)<\/style>/.exec(text) ?? [];
      const hash = createHash("sha256").update(style).digest("base64");
      const policy = header("content-security-policy") ?? "";
      expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; img-src 'none'; form-action 'self'/);
      expect(policy).toContain(`style-src 'sha256-${hash}';`);
      expect(policy).toContain("frame-ancestors 'none'; base-uri 'none'");
      expect(policy).not.toMatch(/unsafe|\*|script-src/);
      expect(header("x-frame-options")).toBe("SAMEORIGIN");
      expect(header("referrer-policy")).toBe("same-origin");
      expect(header("cache-control")).toBe("no-store");
      expect(text).not.toMatch(/<script|<link|style="|\son\w+=/i);
    }
  });

  test.each([
    ["https://app.example:8443/cb", "https://app.example:8443"],
    ["com.example.app:/cb", "com.example.app:"],
    ["http://127.0.0.1:4000/cb", "http://127.0.0.1:4000"],
    ["http://[::1]:4000/cb", "http:"],
    ["https://bücher.example/cb", "https://xn--bcher-kva.example"],
  ])("a form may lead to %s, and nowhere else", async (redirectUri, source) => {
    const { username } = await here.register();
    const own = await storeClient(here, { redirectUris: [redirectUri] });
    const browser = createPageBrowser(here);
    const authorization = await browser.begin(own, { redirect_uri: redirectUri });
    const page = await browser.open(`/oauth/sign-in?authorization=${authorization}`);
    await browser.signIn(authorization, username);
    const consent = await browser.open(`/oauth/consent?authorization=${authorization}`);
    for (const { header } of [page, consent]) {
      expect(header("content-security-policy")).toContain(`form-action 'self' ${source}; frame-ancestors`);
    }
  });

  test("the logo of the service is loaded from its origin only, and logos of clients are not loaded", async () => {
    const service = await startTestService({ PAGES_LOGO_URL: "https://cdn.example/logo.svg" }, here.databaseUrl);
    const page = await service.send("GET", "/oauth/sign-out");
    expect(page.text).toContain('<img src="https://cdn.example/logo.svg" alt="Latchkey"');
    expect(page.header("content-security-policy")).toContain("img-src https://cdn.example;");
    await here.sql("UPDATE clients SET logo_uri = 'https://spy.example/logo.png' WHERE id = $1", [client]);
    const { username } = await here.register();
    const { browser, authorization } = await signedIn(username);
    expect((await browser.open(`/oauth/consent?authorization=${authorization}`)).text).not.toContain("spy.example");
    await service.close();
  });
});

describe("cookies", () => {
  test("each sign-in has a new cookie, and ends the previous session of the browser", async () => {
    const [one, other] = [await here.register(), await here.register()];
    const { browser, authorization } = await signedIn(one.username);
    const before = browser.cookies.get("__Host-latchkey") ?? "";
    await browser.signIn(authorization, other.username);
    const after = browser.cookies.get("__Host-latchkey") ?? "";
    expect(after.slice(0, 36)).not.toBe(before.slice(0, 36));
    expect(await userThere(browser)).toBe(other.username);
    browser.cookies.set("__Host-latchkey", before);
    expect(await userThere(browser)).toBeUndefined();
  });

  test("a cookie that an attacker has planted is not valid after the sign-in", async () => {
    const [attacker, victim] = [await here.register(), await here.register()];
    const planted = (await signedIn(attacker.username)).browser.cookies.get("__Host-latchkey") ?? "";
    const browser = createPageBrowser(here);
    browser.cookies.set("__Host-latchkey", planted);
    const authorization = await browser.begin(client, { prompt: "login" });
    await browser.signIn(authorization, victim.username);
    expect(browser.cookies.get("__Host-latchkey")).not.toBe(planted);
    browser.cookies.set("__Host-latchkey", planted);
    expect(await userThere(browser)).toBeUndefined();
  });

  test("a cookie with another secret, of another form, or sent twice is ignored", async () => {
    const { username } = await here.register();
    const { browser } = await signedIn(username);
    const cookie = browser.cookies.get("__Host-latchkey") ?? "";
    const other = (await signedIn(username)).browser.cookies.get("__Host-latchkey") ?? "";
    const mixed = `${cookie.slice(0, 37)}${other.slice(37)}`;
    for (const value of [mixed, cookie.slice(0, -1), `${cookie}A`, cookie.toUpperCase(), "x", "", "\u00e9"]) {
      const answer = await here.send("GET", "/oauth/sign-out", { headers: { cookie: `__Host-latchkey=${value}` } });
      expect(answer.status, value).toBe(200);
      expect(answer.text, value).toContain("You are signed out");
    }
    const twice = `__Host-latchkey=${cookie}; __Host-latchkey=${cookie}`;
    expect((await here.send("GET", "/oauth/sign-out", { headers: { cookie: twice } })).text).toContain("signed out");
    const among = `theme=dark; __Host-latchkey=${cookie}; x`;
    expect((await here.send("GET", "/oauth/sign-out", { headers: { cookie: among } })).text).toContain(username);
  });

  test("a cookie is neither a token, nor a refresh token, nor a password", async () => {
    const { username } = await here.register();
    const { browser } = await signedIn(username);
    const cookie = browser.cookies.get("__Host-latchkey") ?? "";
    expect((await here.send("GET", "/api/users/me", { bearer: cookie })).status).toBe(401);
    expect((await here.send("GET", "/api/users/me", { basic: [cookie, "x"] })).status).toBe(401);
    expect((await here.send("GET", "/api/users/me", { headers: { cookie: browser.cookieHeader() } })).status).toBe(401);
    const padded = `${cookie}AAAAA`;
    for (const token of [cookie, padded]) {
      const refreshed = await here.send("POST", "/api/token", { json: { refresh_token: token } });
      expect(refreshed.status, token).toBeGreaterThanOrEqual(400);
    }
    await here.send("POST", "/oauth/revoke", { form: { token: padded } });
    expect(await userThere(browser)).toBe(username);
    const rows = await here.sql("SELECT sessions::text AS text FROM sessions");
    const secret = cookie.slice(37);
    expect(rows.map(({ text }) => String(text)).join()).not.toContain(secret);
    expect(here.log.join()).not.toContain(secret);
  });

  test("a refresh token is no cookie", async () => {
    const { username } = await here.register();
    const { json } = await here.send("POST", "/api/sessions", { basic: [username, password] });
    const token = json.refresh_token as string;
    for (const value of [token, token.slice(0, 80)]) {
      const answer = await here.send("GET", "/oauth/sign-out", { headers: { cookie: `__Host-latchkey=${value}` } });
      expect(answer.text).toContain("You are signed out");
    }
    // Also if its digest is that of a cookie.
    const secret = "A".repeat(43);
    const digest = createHash("sha256").update(secret).digest();
    await here.sql("UPDATE sessions SET refresh_digest = $1 WHERE id = $2", [digest, json.id]);
    const cookie = `__Host-latchkey=${json.id}.${secret}`;
    expect((await here.send("GET", "/oauth/sign-out", { headers: { cookie } })).text).toContain("You are signed out");
  });
});

describe("a session of a browser is listed, and ends on every instance at once:", () => {
  type End = (user: { id: string; basic: [string, string]; session: string }) => Promise<unknown>;
  const ends: Record<string, End> = {
    "the user ends it": ({ basic, session }) => here.send("DELETE", `/api/sessions/${session}`, { basic }),
    "the user signs out everywhere": ({ basic }) => here.send("DELETE", "/api/sessions", { basic }),
    "the user changes the password": ({ basic }) =>
      here.send("PUT", "/api/users/me/password", {
        basic,
        json: { current_password: password, new_password: "another good password" },
      }),
    "the user is deleted": ({ basic }) => here.send("DELETE", "/api/users/me", { basic }),
    "an administrator blocks the user": async ({ id }) =>
      here.send("PATCH", `/api/users/${id}`, { basic: await administrator, json: { blocked: true } }),
    "an administrator sets the password": async ({ id }) =>
      here.send("PUT", `/api/users/${id}/password`, {
        basic: await administrator,
        json: { new_password: "another good password" },
      }),
    "an administrator ends it": async ({ id, session }) =>
      here.send("DELETE", `/api/users/${id}/sessions/${session}`, { basic: await administrator }),
    "it is the oldest of too many": async ({ basic }) => {
      for (let count = 0; count < 2; count += 1) await there.send("POST", "/api/sessions", { basic });
    },
    "it was not used for too long": ({ session }) =>
      here.sql("UPDATE sessions SET idle_expires_at = now() WHERE id = $1", [session]),
    "its lifetime is over": ({ session }) =>
      here.sql("UPDATE sessions SET expires_at = now() WHERE id = $1", [session]),
  };
  const administrator = here.administrator();

  test.each(Object.entries(ends))("%s", async (_how, end) => {
    const { id, username } = await here.register();
    const basic: [string, string] = [username, password];
    const { browser, authorization } = await signedIn(username);
    expect(await userThere(browser)).toBe(username);
    const { json } = await here.send("GET", "/api/sessions", { basic });
    expect(json.sessions).toHaveLength(1);
    await end({ id, basic, session: json.sessions[0].id });
    expect(await userThere(browser)).toBeUndefined();
    const consent = await browser.open(`/oauth/consent?authorization=${authorization}`);
    expect(consent.header("location")).toBe(`sign-in?authorization=${authorization}`);
  });
});

test("a session that is used does not expire, and is renewed once an hour", async () => {
  const { username } = await here.register();
  const { browser } = await signedIn(username);
  const id = browser.cookies.get("__Host-latchkey")?.slice(0, 36);
  const read = async () => {
    const [row] = await here.sql("SELECT last_used_at, idle_expires_at FROM sessions WHERE id = $1", [id]);
    return row as { last_used_at: Date; idle_expires_at: Date };
  };
  const first = await read();
  await browser.open("/oauth/sign-out");
  expect(await read()).toEqual(first);
  await here.sql(
    `UPDATE sessions SET last_used_at = last_used_at - interval '2 hours', idle_expires_at = now() + interval '1 minute'
     WHERE id = $1`,
    [id],
  );
  await browser.open("/oauth/sign-out");
  const renewed = await read();
  expect(renewed.last_used_at.getTime()).toBeGreaterThanOrEqual(first.last_used_at.getTime());
  expect(renewed.idle_expires_at.getTime()).toBeGreaterThan(first.idle_expires_at.getTime() - 60_000);
});

describe("requests of other sites", () => {
  const crossSite = [
    { "sec-fetch-site": "cross-site", origin: "https://evil.example" },
    { "sec-fetch-site": "same-site", origin: "https://other.app.example" },
    { "sec-fetch-site": "cross-site", origin: "null" },
  ];

  test("no form of another site is accepted, whatever CORS_ORIGINS allows", async () => {
    const open = await startTestService({ CORS_ORIGINS: "https://evil.example, *" }, here.databaseUrl);
    const { username } = await here.register();
    const { browser, authorization } = await signedIn(username);
    await browser.open(`/oauth/consent?authorization=${authorization}`);
    const page = await browser.open("/oauth/sign-out");
    const [, token = ""] = /name="token" value="([^"]+)"/.exec(page.text) ?? [];
    const forms: [string, Record<string, string>][] = [
      ["/oauth/sign-in", { authorization, username, password }],
      ["/oauth/consent", { authorization, decision: "allow" }],
      ["/oauth/sign-out-confirmation", { token }],
    ];
    for (const service of [here, open]) {
      for (const [target, form] of forms) {
        for (const headers of crossSite) {
          const cookie = browser.cookieHeader();
          const answer = await service.send("POST", target, { form, headers: { cookie, ...headers } });
          expect(answer, `${target} ${headers.origin}`).toMatchObject({ status: 403, problem: "cross-site-request" });
        }
      }
    }
    expect(await userThere(browser)).toBe(username);
    await open.close();
  });

  test("a form without the cookies of the browser decides nothing", async () => {
    const { username } = await here.register();
    const { browser, authorization } = await signedIn(username);
    await browser.open(`/oauth/consent?authorization=${authorization}`);
    for (const without of ["__Host-latchkey", "__Host-latchkey-browser"]) {
      const lesser = createPageBrowser(here);
      for (const [name, value] of browser.cookies) if (name !== without) lesser.cookies.set(name, value);
      const answer = await lesser.submit("/oauth/consent", { authorization, decision: "allow" });
      expect(answer.header("location") ?? "").not.toContain(callback);
    }
  });

  test("the request of an attacker cannot be decided in the browser of a victim", async () => {
    const [attacker, victim] = [await here.register(), await here.register()];
    const { authorization } = await signedIn(attacker.username);
    const { browser } = await signedIn(victim.username);
    const answer = await browser.submit("/oauth/consent", { authorization, decision: "allow" });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });

  test("the stolen session cookie of another user decides nothing about a request that the user has seen", async () => {
    const [one, other] = [await here.register(), await here.register()];
    const { browser, authorization } = await signedIn(one.username);
    await browser.open(`/oauth/consent?authorization=${authorization}`);
    const stolen = (await signedIn(other.username)).browser.cookies.get("__Host-latchkey") ?? "";
    browser.cookies.set("__Host-latchkey", stolen);
    const answer = await browser.submit("/oauth/consent", { authorization, decision: "allow" });
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  });
});
