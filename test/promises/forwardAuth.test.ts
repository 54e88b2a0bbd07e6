/** Attacks on forward-auth: requests that a proxy and the API could read differently, and proxies that nobody trusts. */
import { describe, expect, test } from "vitest";
import { createForwardAuth } from "../../src/forwardAuth/forwardAuth.ts";
import { protectedApis } from "../../src/forwardAuth/protectedApis.ts";
import { storedUsername, userId } from "../../src/identifiers.ts";
import type { PasswordPrincipal } from "../../src/principal.ts";
import { Problem } from "../../src/problems/problems.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import { createKey } from "../support/apiKeys.ts";
import { basicAuthorization, type Received, type Sent, sendRaw } from "../support/client.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService({ TRUST_PROXY: "127.0.0.1" });
/** Trusts another proxy than the one that asks. */
const distrustful = await startTestService({ TRUST_PROXY: "192.0.2.1" }, service.databaseUrl);
const other = await startTestService({ TRUST_PROXY: "127.0.0.1" }, service.databaseUrl);
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, ...(json !== undefined && { json }) });
const contract = `
openapi: 3.0.3
servers: [{ url: https://shop.example/v1 }]
paths:
  /public/{file}: { get: { security: [] } }
  /greeting: { get: { security: [{}, { key: [] }] } }
  /either: { get: { security: [{ oauth: [shop:buy, shop:pay] }, { oauth: [shop:admin] }] } }
  /form: { post: { security: [{ login: [] }] } }
  /settings: { get: { security: [{ oauth: [shop:admin] }, { login: [] }] } }
  /admin: { get: { security: [{ oauth: [shop:admin] }] }, delete: { security: [{ oauth: [shop:admin] }] } }
components:
  securitySchemes:
    key: { type: apiKey, in: header, name: Authorization }
    login: { type: http, scheme: basic }
    oauth:
      type: oauth2
      flows: { clientCredentials: { tokenUrl: /token, scopes: { shop:buy: Buy, shop:pay: Pay, shop:admin: Administer } } }
`;
const document = { openapi: "3.1.0", paths: { "/": { get: { security: [] } } } };
const scopes = ["shop:buy", "shop:pay", "shop:admin"].map((name) => ({ name, description: "" }));
const registered = await asAdmin("POST", "/api/apis", { audience: "shop", name: "Shop", scopes, contract });
await asAdmin("PUT", "/api/roles/buyer", { scopes: ["shop:buy", "shop:pay"] });
const { id } = await service.register("buyer");
await asAdmin("PATCH", `/api/users/${id}`, { roles: ["buyer"] });
const basic: [string, string] = ["buyer", password];
const tokenOf = async (owner: [string, string] = basic) =>
  (await service.send("GET", "/api/token?audience=shop", { basic: owner })).json.token as string;
const bearer = await tokenOf();

const ask = (headers: Record<string, string>, sent: Sent = {}, at = service, query = "audience=shop") =>
  at.send("GET", `/api/forward-auth?${query}`, { ...sent, headers });
const forwarded = (uri: string, method = "GET") => ({ "x-forwarded-method": method, "x-forwarded-uri": uri });
const outcome = ({ problem, status }: Received) => problem ?? status;
const userOf = (answer: Received) => answer.header("latchkey-username");

test("the contract was accepted", () => {
  expect(registered).toMatchObject({ status: 201, json: { has_contract: true } });
});

describe("the contract of an API is enforced", () => {
  test("below the paths of its servers", async () => {
    expect(outcome(await ask(forwarded("/v1/public/logo.png")))).toBe(204);
    expect(outcome(await ask(forwarded("/public/logo.png")))).toBe("undeclared-operation");
  });

  test("with optional credentials: valid ones identify the user, others are like none", async () => {
    const greeting = forwarded("/v1/greeting");
    const { key } = await createKey(service, "buyer", { scopes: ["shop:buy"] });
    const { key: otherKey } = await createKey(service, "buyer", { scopes: ["account:read"] });
    for (const [sent, username] of [
      [{}, ""],
      [{ bearer }, "buyer"],
      [{ bearer: key }, "buyer"],
      [{ bearer: otherKey }, ""],
      [{ bearer: "garbage" }, ""],
    ] as const) {
      const answer = await ask(greeting, sent);
      expect(answer.status).toBe(204);
      expect(userOf(answer)).toBe(username);
    }
  });

  test("with alternatives of scopes", async () => {
    expect(outcome(await ask(forwarded("/v1/either"), { bearer }))).toBe(204);
    const { key } = await createKey(service, "buyer", { scopes: ["shop:buy"] });
    const refused = await ask(forwarded("/v1/either"), { bearer: key });
    expect(refused).toMatchObject({ status: 403, json: { scope: "shop:pay" } });
    expect(outcome(await ask(forwarded("/v1/either"), { bearer: await tokenOf(admin) }))).toBe(204);
  });

  test("with the credentials that it names: a password only, or tokens only", async () => {
    expect(outcome(await ask(forwarded("/v1/form", "POST"), { basic }))).toBe(204);
    const refused = await ask(forwarded("/v1/form", "POST"), { bearer });
    expect(outcome(refused)).toBe("authentication-required");
    expect(refused.headers["www-authenticate"]).toEqual(['Basic realm="latchkey", charset="UTF-8"']);
    expect(outcome(await ask(forwarded("/v1/either"), { basic }))).toBe("authentication-required");
  });

  test("with scopes for tokens only: a password is enough, a token without them is not", async () => {
    const settings = forwarded("/v1/settings");
    expect(outcome(await ask(settings, { basic }))).toBe(204);
    expect(await ask(settings, { bearer })).toMatchObject({ status: 403, json: { scope: "shop:admin" } });
    expect((await ask(settings, { basic: [bearer, ""] })).status).toBe(403);
    expect(outcome(await ask(settings, { bearer: await tokenOf(admin) }))).toBe(204);
  });

  test("and the scopes that the proxy names are needed in addition", async () => {
    const query = "audience=shop&scope=shop:admin";
    expect(outcome(await ask(forwarded("/v1/either"), { bearer }, service, query))).toBe("insufficient-scope");
    expect(outcome(await ask(forwarded("/v1/public/logo.png"), {}, service, query))).toBe("authentication-required");
    expect(outcome(await ask(forwarded("/v1/greeting"), {}, service, query))).toBe("authentication-required");
    expect(outcome(await ask(forwarded("/v1/greeting"), { bearer }, service, query))).toBe("insufficient-scope");
  });

  test("by every instance, within a second after it was changed or removed", async () => {
    const api = { audience: "changing", name: "Changing", scopes: [], contract };
    const open = contract
      .replaceAll(/\{ (get|post): \{ security: \[\{ oauth: .*$/gm, "{}")
      .replace("/admin: {}", "/admin: { get: { security: [] } }");
    expect((await asAdmin("POST", "/api/apis", { ...api, contract: open })).status).toBe(201);
    const admins = async (at: typeof service) =>
      outcome(await ask(forwarded("/v1/admin"), {}, at, "audience=changing"));
    expect([await admins(service), await admins(other)]).toEqual([204, 204]);
    const closed = open.replace("/admin: { get", "/closed: { get");
    expect((await asAdmin("PATCH", "/api/apis/changing", { contract: closed })).status).toBe(200);
    expect(await admins(service)).toBe("undeclared-operation");
    await expect.poll(() => admins(other), { timeout: 5_000 }).toBe("undeclared-operation");
    expect((await asAdmin("PATCH", "/api/apis/changing", { contract: null })).json.has_contract).toBe(false);
    expect(await admins(service)).toBe("authentication-required");
    await expect.poll(() => admins(other), { timeout: 5_000 }).toBe("authentication-required");
    expect((await asAdmin("DELETE", "/api/apis/changing")).status).toBe(204);
    expect(await admins(service)).toBe("invalid-target");
    await expect.poll(() => admins(other), { timeout: 5_000 }).toBe("invalid-target");
  });

  test("and a stored contract that this version cannot enforce lets nobody pass, and is logged once", async () => {
    const json = (document: object) => JSON.stringify(document);
    const stored = "UPDATE apis SET contract = $1, scopes = $2 WHERE audience = 'shop'";
    const [before] = await service.sql("SELECT contract FROM apis WHERE audience = 'shop'");
    const valid = String(before?.["contract"]);
    const named = json(scopes);
    const states = {
      "it requires a scope that the API has lost": [valid, "[]"],
      "it is written for another version": [json({ openapi: "2.0", paths: {} }), named],
      "it is no JSON": ["openapi: 3.1.0", named],
    };
    try {
      for (const [state, values] of Object.entries(states)) {
        await service.sql(stored, values);
        const late = await startTestService({ TRUST_PROXY: "127.0.0.1" }, service.databaseUrl);
        const reports = () => late.log.filter((line) => line.includes("could not read the contract of an API"));
        expect(reports(), state).toHaveLength(0);
        for (const sent of [{}, { basic: admin }, { bearer }]) {
          const answer = await ask(forwarded("/v1/public/logo.png"), sent, late);
          expect(answer, state).toMatchObject({ status: 503, problem: "contract-unusable" });
        }
        expect((await late.send("GET", "/readyz")).status).toBe(200);
        expect(reports(), state).toHaveLength(1);
        await late.close();
      }
      const rename = { scopes: [...scopes, { name: "shop:new", description: "" }] };
      expect(await asAdmin("PATCH", "/api/apis/shop", rename)).toMatchObject({
        status: 400,
        problem: "invalid-request",
      });
      expect((await asAdmin("PATCH", "/api/apis/shop", { contract })).status).toBe(200);
      expect(outcome(await ask(forwarded("/v1/public/logo.png")))).toBe(204);
    } finally {
      await service.sql(stored, [valid, named]);
    }
  });

  test("and one that cannot be enforced is reported again only after it could be", async () => {
    const states = [
      "garbage",
      "garbage",
      JSON.stringify({ ...document, paths: {} }),
      JSON.stringify(document),
      "garbage",
    ];
    const reports: string[] = [];
    const changes: ((subject: string) => void)[] = [];
    const apis = protectedApis({
      store: { findContract: async () => ({ scopes: [], contract: states.shift() ?? null }) },
      revocations: { onEntry: (listener) => void changes.push(listener) },
      onUnusable: (audience) => reports.push(audience),
    });
    for (const expected of [1, 1, 1, 1, 2]) {
      for (const change of changes) change("api:shop");
      const [one, again] = [await apis.get("shop"), await apis.get("shop")];
      expect(one).toBe(again);
      expect(reports).toHaveLength(expected);
    }
  });
});

describe("headers that describe the original request", () => {
  test("are those of a trusted proxy only", async () => {
    const open = forwarded("/v1/public/logo.png");
    expect(outcome(await ask(open, { bearer }))).toBe(204);
    const refused = await ask(open, { bearer }, distrustful);
    expect(refused).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(refused.json.errors[0]).toEqual({
      header: "X-Forwarded-Method",
      detail: "is not sent by a trusted proxy (TRUST_PROXY)",
    });
    // Nor does a chain of addresses make the peer a trusted one.
    const forged = { ...open, "x-forwarded-for": "192.0.2.1" };
    expect(outcome(await ask(forged, { bearer }, distrustful))).toBe("invalid-request");
  });

  test.each<[string, Record<string, string>]>([
    ["nginx", { "x-original-method": "GET", "x-original-uri": "/v1/public/a?b=c" }],
    ["ingress-nginx", { "x-original-method": "GET", "x-original-url": "https://shop.example/v1/public/a?b=c" }],
    ["Caddy and Traefik", { ...forwarded("/v1/public/a?b=c"), "x-forwarded-host": "shop.example" }],
    [
      "all of them",
      {
        ...forwarded("/v1/public/a"),
        "x-forwarded-host": "shop.example",
        "x-original-method": "GET",
        "x-original-uri": "/v1/public/a",
        "x-original-url": "https://SHOP.example/v1/public/a",
      },
    ],
  ])("are accepted as %s sends them", async (_proxy, headers) => {
    expect(outcome(await ask(headers))).toBe(204);
  });

  const open = forwarded("/v1/public/a");
  test.each<[string, Record<string, string>]>([
    ["another URI", { ...open, "x-original-method": "GET", "x-original-uri": "/v1/admin" }],
    ["another URL", { ...open, "x-original-method": "GET", "x-original-url": "https://shop.example/v1/admin" }],
    ["another method", { ...open, "x-original-method": "DELETE", "x-original-uri": "/v1/public/a" }],
    ["a URI without a method", { ...open, "x-original-uri": "/v1/public/a" }],
    ["a method without a URI", { ...open, "x-original-method": "GET" }],
    ["a method of the client, and a URI of the proxy", { "x-forwarded-method": "GET", "x-original-uri": "/v1/admin" }],
    ["a URI only", { "x-forwarded-uri": "/v1/public/a" }],
    ["a method only", { "x-forwarded-method": "GET" }],
    [
      "another host",
      {
        ...open,
        "x-forwarded-host": "evil.example",
        "x-original-method": "GET",
        "x-original-url": "https://shop.example/v1/public/a",
      },
    ],
    ["an empty URI", forwarded("")],
    ["an empty method", forwarded("/v1/public/a", "")],
    ["a method in small letters", forwarded("/v1/public/a", "get")],
    ["two methods", forwarded("/v1/public/a", "GET, DELETE")],
    ["two URIs", forwarded("/v1/public/a, /v1/admin")],
    ["a URI in absolute form", forwarded("http://shop.example/v1/public/a")],
    ["a URI with a fragment", forwarded("/v1/public/a#/../../admin")],
    ["a URI with a space", forwarded("/v1/public/a HTTP/1.1")],
    ["a URI with a tab", forwarded("/v1/public/a\tb")],
    ["a URI with a byte that is not ASCII", forwarded("/v1/public/\u00e9")],
    ["a URI without a slash", forwarded("v1/public/a")],
    ["the asterisk form", forwarded("*", "OPTIONS")],
    ["a URL without a host", { "x-original-method": "GET", "x-original-url": "https:///v1/public/a" }],
    ["a URL with a user", { "x-original-method": "GET", "x-original-url": "https://a@shop.example/v1/public/a" }],
    ["a URL of another scheme", { "x-original-method": "GET", "x-original-url": "file:///v1/public/a" }],
  ])("with %s are rejected", async (_label, headers) => {
    for (const sent of [{}, { basic: admin }]) {
      const answer = await ask(headers, sent);
      expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
      expect(userOf(answer)).toBe("");
    }
  });

  test("that are sent twice are rejected", async () => {
    const lines = (...headers: string[]) =>
      `GET /api/forward-auth?audience=shop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers.join("\r\n")}\r\n\r\n`;
    const [method, uri] = ["X-Forwarded-Method: GET", "X-Forwarded-Uri: /v1/public/a"];
    const send = (...headers: string[]) => sendRaw(service.url, lines(...headers), "GET", "/api/forward-auth");
    expect(outcome(await send(method, uri))).toBe(204);
    expect(outcome(await send(method, uri, "X-Forwarded-Uri: /v1/admin"))).toBe("invalid-request");
    expect(outcome(await send(method, uri, "x-forwarded-uri: /v1/public/a"))).toBe("invalid-request");
    expect(outcome(await send(method, "X-Forwarded-Method: GET", uri))).toBe("invalid-request");
    expect(outcome(await send(method, uri, "X-Original-Method: GET", "X-Original-Uri:"))).toBe("invalid-request");
  });

  test.each(["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Rewrite-URL"])(
    "ask for another operation: %s is rejected",
    async (name) => {
      const answer = await ask({ ...open, [name.toLowerCase()]: name === "X-Rewrite-URL" ? "/v1/admin" : "DELETE" });
      expect(answer).toMatchObject({ status: 403, problem: "undeclared-operation" });
      expect(answer.json.detail).toContain(name);
    },
  );

  test("have no effect without a contract", async () => {
    const headers = { "x-forwarded-uri": "nonsense", "x-http-method-override": "DELETE" };
    expect(outcome(await ask(headers, { basic }, service, ""))).toBe(204);
  });
});

describe("a path that an API could read as another one", () => {
  test.each([
    "/v1/public/../admin",
    "/v1/public/..",
    "/v1/public/.",
    "/v1/public/%2e%2e",
    "/v1/public/%2e%2e%2fadmin",
    "/v1/public/..%2fadmin",
    "/v1/public/..%5cadmin",
    "/v1/public/..\\admin",
    "/v1/public/%252e%252e%252fadmin",
    "/v1/public/..%252fadmin",
    "/v1/public/%25252e%25252e%25252fadmin",
    "/v1/public/a%2f..%2f..%2fadmin",
    "/v1/public/..;/admin",
    "/v1/public/..;x=y",
    "/v1/public/a%00",
    "/v1/public/a%0d%0aX-Injected:1",
    "/v1/public/%zz",
    "/v1/public/%",
    "/v1/public/%c0%ae%c0%ae",
    "/v1//admin",
    "//v1/public/a",
    "/v1/admin/",
    "/v1/ADMIN",
    "/v1/%61dmin",
    "/v1/public/",
    "/v1/public",
    "/v1",
    "/",
  ])("passes for nobody who does not have the rights of both: %s", async (uri) => {
    for (const sent of [{}, { bearer }]) {
      const answer = await ask(forwarded(uri), sent);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(404);
      expect(userOf(answer)).toBe("");
    }
  });

  test("is one of 8,000 characters at most, and 100 kB of them are no request", async () => {
    expect(outcome(await ask(forwarded(`/v1/public/${"a".repeat(7_000)}`)))).toBe(204);
    expect(outcome(await ask(forwarded(`/v1/public/${"a".repeat(9_000)}`)))).toBe("undeclared-operation");
    const long = forwarded(`/v1/public/${"a".repeat(100_000)}`);
    const head = Object.entries(long).map(([name, value]) => `${name}: ${value}\r\n`);
    const bytes = `GET /api/forward-auth?audience=shop HTTP/1.1\r\nHost: x\r\n${head.join("")}\r\n`;
    expect((await sendRaw(service.url, bytes)).status).toBe(400);
  });
});

describe("proxies that this project cannot run", () => {
  /** The headers that Traefik's ForwardAuth copies and adds, by its documentation and source. */
  const fromTraefik = {
    accept: "text/html",
    "accept-encoding": "gzip",
    cookie: "session=1",
    "user-agent": "Mozilla/5.0",
    "x-forwarded-for": "192.0.2.7",
    "x-forwarded-host": "shop.example",
    "x-forwarded-method": "GET",
    "x-forwarded-proto": "https",
    "x-forwarded-uri": "/v1/either?page=2",
  };

  test("Traefik: the forwarded request is authorized, and the client cannot describe another one", async () => {
    const passed = await ask(fromTraefik, { bearer });
    expect([passed.status, userOf(passed)]).toEqual([204, "buyer"]);
    expect(outcome(await ask({ ...fromTraefik, "x-forwarded-uri": "/v1/admin" }, { bearer }))).toBe(
      "insufficient-scope",
    );
    const forged = { ...fromTraefik, "x-original-method": "GET", "x-original-uri": "/v1/public/a" };
    expect(outcome(await ask(forged, { bearer }))).toBe("invalid-request");
  });

  test("Envoy: ext_authz sends the method and the path of the original request, and nothing passes", async () => {
    for (const [method, path, status] of [
      ["GET", "/api/forward-auth/v1/public/a", 404],
      ["POST", "/api/forward-auth/v1/form", 404],
      ["POST", "/api/forward-auth", 405],
    ] as const) {
      const headers = { "x-forwarded-proto": "https", "content-length": "0" };
      expect((await service.send(method, path, { bearer, headers })).status).toBe(status);
    }
  });
});

describe("requests at the same time", () => {
  /** Counts the checks of passwords, which end when the test says. */
  function openForwardAuth() {
    const checks: { resolve(): void; reject(problem: Problem): void }[] = [];
    const principal = { proof: "password", userId: userId(id), username: storedUsername("buyer"), epoch: 0 } as const;
    const password = () =>
      new Promise<PasswordPrincipal>((resolve, reject) => {
        const verified = { ...principal, epochReadAfterMs: 0, verifyAgain: async () => undefined };
        checks.push({ resolve: () => resolve(verified), reject });
      });
    const unused = () => {
      throw new Error("no token was sent");
    };
    const rights = { roles: [], scopes: new Set<string>(), isAdministrator: false, epochs: {} };
    const authorize = createForwardAuth({
      authenticator: { password, tokenWithoutProof: unused, apiKey: unused, apiToken: unused },
      access: { missingScopes: () => [], refuse: unused, rightsOf: () => rights },
      apis: { get: unused, size: () => 0 },
      revocations: { requireCurrent: () => {} },
      isTrustedProxy: () => true,
      issuer: "https://auth.example",
    });
    const request = (address: string, secret = "secret") =>
      runInRequest(createRequestContext(address, undefined), () =>
        authorize({ headers: {}, authorization: basicAuthorization(["buyer", secret]) }),
      );
    return { checks, request };
  }

  test("share the check of one password, if they come from one address", async () => {
    const { checks, request } = openForwardAuth();
    const page = Array.from({ length: 40 }, () => request("192.0.2.7"));
    const others = [request("192.0.2.8"), request("192.0.2.7", "another secret")];
    expect(checks).toHaveLength(3);
    for (const { resolve } of checks) resolve();
    for (const identity of await Promise.all([...page, ...others])) expect(identity?.username).toBe("buyer");
    const later = request("192.0.2.7");
    expect(checks).toHaveLength(4);
    checks[3]?.resolve();
    await later;
  });

  test("share a failure, and the next request is checked again", async () => {
    const { checks, request } = openForwardAuth();
    const page = Array.from({ length: 3 }, () => request("192.0.2.7").catch(({ slug }: Problem) => slug));
    checks[0]?.reject(new Problem("invalid-credentials"));
    expect(await Promise.all(page)).toEqual(Array(3).fill("invalid-credentials"));
    const next = request("192.0.2.7");
    expect(checks).toHaveLength(2);
    checks[1]?.resolve();
    expect((await next)?.username).toBe("buyer");
  });
});

describe("the request of the proxy itself", () => {
  const line = (target: string, rest = "") => `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${rest}\r\n`;
  const raw = (bytes: string) => sendRaw(service.url, bytes, "GET", "/api/forward-auth");
  const authorization = `Authorization: Basic ${Buffer.from(basic.join(":")).toString("base64")}\r\n`;

  test("is the same in absolute form", async () => {
    expect((await raw(line("http://x/api/forward-auth", authorization))).status).toBe(204);
    expect((await raw(line("http://x/api/forward-auth"))).status).toBe(401);
  });

  test.each(["/api/forward-auth/", "/api/forward-auth/v1/public/a", "/API/forward-auth", "/api/%66orward-auth"])(
    "has no other path: %s",
    async (target) => {
      const { status, headers } = await sendRaw(service.url, line(target, authorization));
      expect(status).toBe(404);
      expect(Object.keys(headers).filter((name) => name.startsWith("latchkey-"))).toEqual([]);
    },
  );

  test.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("has no other method: %s", async (method) => {
    expect((await service.send(method, "/api/forward-auth", { basic })).status).toBe(405);
  });

  test("may have a body, which is ignored", async () => {
    expect((await service.send("GET", "/api/forward-auth", { basic, json: { audience: "shop" } })).status).toBe(204);
  });

  test("with two Authorization headers has no user", async () => {
    const answer = await raw(line("/api/forward-auth", authorization + authorization));
    expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
    expect(userOf(answer)).toBe("");
  });

  test("cannot say whose it is", async () => {
    const forged = { "latchkey-user-id": id, "latchkey-username": "administrator", "latchkey-roles": "administrator" };
    const refused = await ask(forged, {}, service, "");
    expect([refused.status, userOf(refused), refused.header("latchkey-roles")]).toEqual([401, "", ""]);
    const accepted = await ask(forged, { basic }, service, "");
    expect([accepted.status, userOf(accepted), accepted.header("latchkey-roles")]).toEqual([204, "buyer", "buyer"]);
  });
});

describe("a credential that is no longer valid is rejected", () => {
  test("on every instance within a second: a token, an API key, and one whose user lost the scope", async () => {
    const { id: leaver } = await service.register("leaver");
    await asAdmin("PATCH", `/api/users/${leaver}`, { roles: ["buyer"] });
    const owner: [string, string] = ["leaver", password];
    const token = await tokenOf(owner);
    const { key } = await createKey(service, "leaver", { scopes: ["shop:buy", "shop:pay"] });
    const at = (credential: string, instance: typeof service) =>
      ask(forwarded("/v1/either"), { bearer: credential }, instance).then(outcome);
    for (const credential of [token, key]) {
      expect([await at(credential, service), await at(credential, other)]).toEqual([204, 204]);
    }
    await asAdmin("PATCH", `/api/users/${leaver}`, { roles: [] });
    expect([await at(token, service), await at(key, service)]).toEqual(["token-revoked", "insufficient-scope"]);
    await expect.poll(() => at(token, other), { timeout: 5_000 }).toBe("token-revoked");
    await expect.poll(() => at(key, other), { timeout: 5_000 }).toBe("insufficient-scope");
    await asAdmin("DELETE", `/api/users/${leaver}`);
    expect(await at(key, service)).toBe("invalid-token");
    await expect.poll(() => at(key, other), { timeout: 5_000 }).toBe("invalid-token");
  });

  test("while the revocation list is out of date, with a 503 and without an identity", async () => {
    const stale = await startTestService(
      { TRUST_PROXY: "127.0.0.1", REVOCATION_STALENESS_SECONDS: "2" },
      service.databaseUrl,
    );
    expect(outcome(await ask(forwarded("/v1/either"), { bearer }, stale))).toBe(204);
    await service.withoutDatabase(async () => {
      const answers = () => ask(forwarded("/v1/either"), { bearer }, stale);
      await expect.poll(async () => outcome(await answers()), { timeout: 10_000 }).toBe("revocations-stale");
      const refused = await answers();
      expect([refused.status, userOf(refused), refused.header("retry-after")]).toEqual([503, "", "2"]);
      // An open operation is one of the contract, which may have changed.
      expect(outcome(await ask(forwarded("/v1/public/a"), {}, stale))).toBe("revocations-stale");
    });
    await stale.close();
  });
});
