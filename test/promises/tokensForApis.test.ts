/** Tokens for registered APIs: what they contain, who accepts them, and how sessions and rights limit them. */
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import { describe, expect, test, vi } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { password, startTestService } from "../support/service.ts";

const service = await startTestService();
const other = await startTestService({}, service.databaseUrl);
const issuer = "http://127.0.0.1:8080";
const orders = "https://orders.example/v1";
const admin = await service.administrator();
const asAdmin = (method: string, target: string, json?: unknown) =>
  service.send(method, target, { basic: admin, json });
const setRoles = (id: string, roles: string[]) => asAdmin("PATCH", `/api/users/${id}`, { roles });
const scopesNamed = (...names: string[]) => names.map((name) => ({ name, description: "" }));
await asAdmin("POST", "/api/apis", {
  audience: orders,
  name: "Orders",
  scopes: scopesNamed("orders:read", "orders:write", "account:close"),
});
await asAdmin("PUT", "/api/roles/clerk", { scopes: ["orders:read", "orders:write"] });
await asAdmin("PUT", "/api/roles/reader", { scopes: ["orders:read"] });

/** Registers a user with these roles. */
async function userWith(...roles: string[]) {
  const { id, username } = await service.register();
  await setRoles(id, roles);
  const basic: [string, string] = [username, password];
  const get = (query: string, at = service) => at.send("GET", `/api/token?${query}`, { basic });
  const begin = (json?: object, at = service) => at.send("POST", "/api/sessions", { basic, ...(json && { json }) });
  return { id, username, basic, get, begin };
}
const refresh = (refresh_token: string, request: object = {}, at = service) =>
  at.send("POST", "/api/token", { json: { refresh_token, ...request } });
const clerk = await userWith("clerk");
/** How many refresh tokens of a session were used. */
const usesOf = async (id: string) =>
  (await service.sql("SELECT generation FROM sessions WHERE id = $1", [id]))[0]?.["generation"];

describe("a token for an API", () => {
  test("has the audience, the scopes and the roles of its user (RFC 9068)", async () => {
    const answer = await clerk.get(`audience=${orders}&scope=orders:read`);
    expect(answer).toMatchObject({ status: 200, json: { duration: 600, scope: "orders:read" } });
    const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));
    const { payload } = await jwtVerify(answer.json.token, keys, { issuer, audience: orders, typ: "at+jwt" });
    expect(payload).toEqual({
      iss: issuer,
      aud: orders,
      sub: clerk.id,
      client_id: "latchkey",
      username: clerk.username,
      scope: "orders:read",
      roles: ["clerk"],
      epoch: 0,
      epochs: {
        [`rights:${clerk.id}`]: 2,
        "role:clerk": expect.any(Number),
        "role:default": expect.any(Number),
        [`api:${orders}`]: expect.any(Number),
      },
      jti: expect.any(String),
      iat: expect.any(Number),
      exp: Number(payload.iat) + 600,
    });
  });

  test("is accepted by an RFC 9068 client library, also from a session", async () => {
    const server = { issuer, jwks_uri: `${service.url}/.well-known/jwks.json` };
    const { access_token, scope } = (await clerk.begin({ audience: orders })).json;
    expect(scope).toBe("orders:read orders:write");
    const request = new Request(orders, { headers: { authorization: `Bearer ${access_token}` } });
    const options = { [oauth.allowInsecureRequests]: true };
    const accepted = await oauth.validateJwtAccessToken(server, request, orders, options);
    expect(accepted).toMatchObject({ aud: orders, sub: clerk.id, scope: "orders:read orders:write" });
  });

  const guarded = readApi("openapi.yaml").operations.filter(({ schemes }) => schemes.includes("bearer"));
  test.each(guarded.map(({ id, method, path }) => [id, method, path]))(
    "is rejected by Latchkey itself, also if it is an administrator's: %s",
    async (_id, method, path) => {
      const { token } = (await service.send("GET", `/api/token?audience=${orders}`, { basic: admin })).json;
      const target = path.replace(/\{\w+\}/g, "01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b");
      for (const credentials of [{ bearer: token }, { basic: [token, "unused"] as [string, string] }]) {
        const answer = await service.send(method, target, credentials);
        expect(answer).toMatchObject({ status: 401, problem: "invalid-token" });
      }
    },
  );

  test("contains only those of the requested scopes that the user has", async () => {
    const reader = await userWith("reader");
    const scope = async (query: string) => {
      const { json } = await reader.get(`audience=${orders}${query}`);
      expect(decodeJwt(json.token)["scope"]).toBe(json.scope);
      return json.scope;
    };
    expect(await scope("&scope=orders:read%20orders:write")).toBe("orders:read");
    expect(await scope("&scope=orders:write+orders:read")).toBe("orders:read");
    expect(await scope("")).toBe("orders:read");
    expect(await scope("&scope=orders:write")).toBe("");
    // An API can have a scope with the prefix of those that every user has for Latchkey.
    expect(await scope("&scope=account:close")).toBe("");
  });

  test("contains every scope of the API for an administrator, and those of default for everybody", async () => {
    const { json } = await service.send("GET", `/api/token?audience=${orders}`, { basic: admin });
    expect(json.scope).toBe("orders:read orders:write account:close");
    const nobody = await userWith();
    expect((await nobody.get(`audience=${orders}`)).json.scope).toBe("");
    await asAdmin("PUT", "/api/roles/default", { scopes: ["orders:read"] });
    expect((await nobody.get(`audience=${orders}`)).json.scope).toBe("orders:read");
    await asAdmin("PUT", "/api/roles/default", { scopes: [] });
    expect((await nobody.get(`audience=${orders}`)).json.scope).toBe("");
  });

  test("expires after the lifetime of the API, at most after TOKEN_TTL_SECONDS", async () => {
    for (const [audience, token_lifetime_seconds, expected] of [
      ["brief", 30, 30],
      ["long", 86_400, 600],
    ] as const) {
      await asAdmin("POST", "/api/apis", { audience, name: audience, scopes: [], token_lifetime_seconds });
      const { token, duration } = (await clerk.get(`audience=${audience}`)).json;
      const { access_token, expires_in } = (await clerk.begin({ audience })).json;
      for (const [lifetime, jwt] of [
        [duration, token],
        [expires_in, access_token],
      ]) {
        const { iat = 0, exp } = decodeJwt(jwt);
        expect([lifetime, exp]).toEqual([expected, iat + expected]);
      }
    }
  });
});

describe("without audience and scope", () => {
  test("a token has neither, and its response is that of the article", async () => {
    const answer = await clerk.get("");
    expect(Object.keys(answer.json)).toEqual(["token", "duration"]);
    const { refresh_token, access_token, scope } = (await clerk.begin()).json;
    expect(scope).toBeUndefined();
    const refreshed = await refresh(refresh_token);
    expect(refreshed.json.scope).toBeUndefined();
    for (const token of [answer.json.token, access_token, refreshed.json.access_token]) {
      const claims = decodeJwt(token);
      expect(claims.aud).toBe(issuer);
      for (const name of ["scope", "roles", "epochs"]) expect(claims).not.toHaveProperty(name);
    }
  });

  test.each([
    ["no body and no Content-Type", {}],
    ["no body and a Content-Type", { headers: { "content-type": "text/plain" } }],
    ["an empty body", { body: "", headers: { "content-type": "application/json" } }],
    ["an empty object", { json: {} }],
  ])("a session begins with %s", async (_name, sent) => {
    const answer = await service.send("POST", "/api/sessions", { basic: clerk.basic, ...sent });
    expect(answer.status).toBe(201);
  });
});

describe("a token for Latchkey that is limited to scopes", () => {
  test("allows no more than these", async () => {
    const { token, scope } = (await service.send("GET", "/api/token?scope=roles:read", { basic: admin })).json;
    expect(scope).toBe("roles:read");
    expect(decodeJwt(token)).toMatchObject({ aud: issuer, scope: "roles:read" });
    expect((await service.send("GET", "/api/roles", { bearer: token })).status).toBe(200);
    for (const target of ["/api/apis", "/api/sessions"]) {
      expect(await service.send("GET", target, { bearer: token })).toMatchObject({ problem: "insufficient-scope" });
    }
  });

  test("allows nothing if the user has none of them", async () => {
    const { token, scope } = (await clerk.get(`audience=${issuer}&scope=apis:read`)).json;
    expect(scope).toBe("");
    expect(decodeJwt(token)["scope"]).toBe("");
    const answer = await service.send("GET", "/api/sessions", { bearer: token });
    expect(answer).toMatchObject({ status: 403, problem: "insufficient-scope" });
  });
});

const refused: [string, { audience?: string; scope?: string }, string][] = [
  ["an unknown API", { audience: "unknown" }, "invalid-target"],
  ["another spelling of the audience", { audience: `${orders}/` }, "invalid-target"],
  ["a scope that the API does not have", { audience: orders, scope: "orders:read orders:burn" }, "invalid-scope"],
  ["a scope of Latchkey for an API", { audience: orders, scope: "roles:read" }, "invalid-scope"],
  ["a scope of an API for Latchkey", { scope: "orders:read" }, "invalid-scope"],
  ["a repeated scope", { audience: orders, scope: "orders:read orders:read" }, "invalid-scope"],
  ["two spaces between scopes", { audience: orders, scope: "orders:read  orders:write" }, "invalid-scope"],
  ["a space before the scope", { audience: orders, scope: " orders:read" }, "invalid-scope"],
  ["a tab between scopes", { audience: orders, scope: "orders:read\torders:write" }, "invalid-scope"],
  ["a quotation mark in a scope", { audience: orders, scope: 'orders"read' }, "invalid-scope"],
  ["a scope in capital letters", { audience: orders, scope: "ORDERS:READ" }, "invalid-scope"],
  ["a scope that is longer than any", { scope: "x".repeat(1_000) }, "invalid-scope"],
];

test.each(refused)("a request for %s is rejected", async (_name, request, problem) => {
  const query = new URLSearchParams(request).toString();
  const { id, refresh_token } = (await clerk.begin()).json;
  for (const answer of [await clerk.get(query), await clerk.begin(request), await refresh(refresh_token, request)]) {
    expect(answer).toMatchObject({ status: 400, problem });
  }
  expect(await usesOf(id)).toBe(0);
});

describe("a session", () => {
  test("keeps its limits, also after a refresh that narrowed a token", async () => {
    const { id, refresh_token: first } = (await clerk.begin({ audience: orders })).json;
    const second = (await refresh(first, { scope: "orders:write" })).json;
    expect(decodeJwt(second.access_token)).toMatchObject({ aud: orders, scope: "orders:write", sid: id });
    const third = (await refresh(second.refresh_token, {}, other)).json;
    expect(decodeJwt(third.access_token)).toMatchObject({ aud: orders, scope: "orders:read orders:write" });
  });

  test.each<[string, object, object, string]>([
    ["another API", { audience: orders }, { audience: issuer }, "invalid-target"],
    ["another API, for its scopes", { audience: orders }, { scope: "roles:read" }, "invalid-scope"],
    ["more scopes", { audience: orders, scope: "orders:read" }, { scope: "orders:read orders:write" }, "invalid-scope"],
    ["other scopes of Latchkey", { scope: "account:read" }, { scope: "account:write" }, "invalid-scope"],
    ["an API, if it is limited to Latchkey", { audience: issuer }, { audience: orders }, "invalid-target"],
    [
      "an API, if it is limited to scopes of Latchkey",
      { scope: "account:read" },
      { audience: orders },
      "invalid-target",
    ],
  ])("cannot be refreshed for %s, at any instance", async (_name, limits, request, problem) => {
    const { id, refresh_token } = (await clerk.begin(limits)).json;
    for (const at of [service, other]) {
      expect(await refresh(refresh_token, request, at)).toMatchObject({ status: 400, problem });
    }
    expect(await usesOf(id)).toBe(0);
    const { status, json } = await refresh(refresh_token);
    expect(status).toBe(200);
    // The refresh token that is sent again has the same limits.
    expect(await refresh(refresh_token, request)).toMatchObject({ status: 400, problem });
    expect((await refresh(json.refresh_token)).status).toBe(200);
  });

  test("without limits gets a token for any API at each refresh", async () => {
    const begun = (await clerk.begin()).json;
    const first = (await refresh(begun.refresh_token, { audience: orders, scope: "orders:read" })).json;
    expect(decodeJwt(first.access_token)).toMatchObject({ aud: orders, scope: "orders:read" });
    const second = (await refresh(first.refresh_token, { scope: "account:read" })).json;
    expect(decodeJwt(second.access_token)).toMatchObject({ aud: issuer, scope: "account:read" });
    const third = (await refresh(second.refresh_token)).json;
    expect(decodeJwt(third.access_token)).not.toHaveProperty("scope");
    expect((await service.send("GET", "/api/sessions", { bearer: third.access_token })).status).toBe(200);
  });

  test("is listed with its limits", async () => {
    const user = await userWith("clerk");
    for (const limits of [{}, { audience: orders }, { audience: orders, scope: "orders:write orders:read" }]) {
      await user.begin(limits);
    }
    await user.begin({ scope: "account:read" });
    const { sessions } = (await service.send("GET", "/api/sessions", { basic: user.basic })).json;
    const limits = sessions.map(({ audience, scope }: Record<string, unknown>) => [audience, scope]);
    expect(limits).toEqual([
      [issuer, "account:read"],
      [orders, "orders:write orders:read"],
      [orders, null],
      [null, null],
    ]);
  });

  test("that is limited to scopes of Latchkey gives tokens that are", async () => {
    const begun = (await clerk.begin({ scope: "account:read" })).json;
    const refreshed = (await refresh(begun.refresh_token)).json;
    for (const { access_token: bearer, scope } of [begun, refreshed]) {
      expect(scope).toBe("account:read");
      expect((await service.send("GET", "/api/sessions", { bearer })).status).toBe(200);
      expect(await service.send("DELETE", "/api/sessions", { bearer })).toMatchObject({ status: 403 });
    }
  });

  test("ends in an error without use of its refresh token if its API was deleted", async () => {
    const stock = { audience: "stock", name: "Stock", scopes: scopesNamed("stock:read") };
    await asAdmin("POST", "/api/apis", stock);
    const limited = (await clerk.begin({ audience: "stock" })).json;
    const { refresh_token } = (await clerk.begin()).json;
    // The other instance has the API in memory, too.
    expect((await clerk.get("audience=stock", other)).status).toBe(200);
    await asAdmin("DELETE", "/api/apis/stock");
    const deleted = { status: 400, problem: "invalid-target" };
    expect(await refresh(limited.refresh_token)).toMatchObject(deleted);
    expect(await refresh(refresh_token, { audience: "stock" })).toMatchObject(deleted);
    await vi.waitFor(async () => expect(await clerk.get("audience=stock", other)).toMatchObject(deleted), 15_000);
    await asAdmin("POST", "/api/apis", stock);
    expect((await refresh(limited.refresh_token)).status).toBe(200);
  });
});

/** What a verifier decides that follows the revocation list: whether a subject of the token has a higher minimum epoch. */
async function isRevoked(token: string): Promise<boolean> {
  const epochs = Object.entries(decodeJwt(token)["epochs"] as Record<string, number>);
  const entries = await service.sql("SELECT subject, minimum_epoch FROM revocations WHERE subject = ANY ($1)", [
    epochs.map(([subject]) => subject),
  ]);
  const minimum = new Map(entries.map(({ subject, minimum_epoch }) => [subject, Number(minimum_epoch)]));
  return epochs.some(([subject, epoch]) => epoch < (minimum.get(subject) ?? 0));
}

describe("after a user has lost a scope", () => {
  /** Takes `till:open` away in one way, and gives it back. */
  const losses: [string, (id: string) => Promise<unknown>, (id: string) => Promise<unknown>][] = [
    ["with a role", (id) => setRoles(id, []), (id) => setRoles(id, ["cashier"])],
    [
      "of a role",
      () => asAdmin("PUT", "/api/roles/cashier", { scopes: ["till:read"] }),
      () => asAdmin("PUT", "/api/roles/cashier", { scopes: ["till:open", "till:read"] }),
    ],
    [
      "of the API",
      () => asAdmin("PATCH", "/api/apis/till", { scopes: scopesNamed("till:read") }),
      () => asAdmin("PATCH", "/api/apis/till", { scopes: scopesNamed("till:open", "till:read") }),
    ],
    [
      "with a deleted role",
      () => asAdmin("DELETE", "/api/roles/cashier"),
      async (id) => {
        await asAdmin("PUT", "/api/roles/cashier", { scopes: ["till:open"] });
        await setRoles(id, ["cashier"]);
      },
    ],
  ];

  test.each(losses)(
    "%s, no new token has it, and the revocation list ends those that do",
    async (name, lose, regain) => {
      const scopes = scopesNamed("till:open", "till:read");
      await asAdmin("POST", "/api/apis", { audience: "till", name: "Till", scopes });
      await asAdmin("PATCH", "/api/apis/till", { scopes });
      await asAdmin("PUT", "/api/roles/cashier", { scopes: ["till:open", "till:read"] });
      const cashier = await userWith("cashier");
      const { refresh_token, access_token } = (await cashier.begin({ audience: "till" })).json;
      const bystander = (await clerk.get(`audience=${orders}`)).json.token;
      const atOther = (await cashier.get("audience=till", other)).json;
      expect(atOther.scope.split(" ")).toContain("till:open");
      expect(await isRevoked(access_token)).toBe(false);

      await lose(cashier.id);
      const scopeOf = (token: string) => String(decodeJwt(token)["scope"]).split(" ");
      const refreshed = (await refresh(refresh_token)).json.access_token;
      expect(scopeOf(refreshed)).not.toContain("till:open");
      expect(await isRevoked(refreshed)).toBe(false);
      // Only a change of roles has to hold elsewhere within a second.
      const withinMs = name === "of the API" ? 15_000 : 1_000;
      await vi.waitFor(async () => {
        expect((await cashier.get("audience=till", other)).json.scope.split(" ")).not.toContain("till:open");
      }, withinMs);
      expect(await isRevoked(access_token)).toBe(true);
      expect(await isRevoked(atOther.token)).toBe(true);
      expect(await isRevoked(bystander)).toBe(false);

      await regain(cashier.id);
      const { token } = (await cashier.get("audience=till")).json;
      expect(scopeOf(token)).toContain("till:open");
      expect(await isRevoked(token)).toBe(false);
    },
  );

  test("a change that takes nothing away ends no token", async () => {
    await asAdmin("PUT", "/api/roles/porter", { scopes: ["orders:read"] });
    const { token } = (await (await userWith("porter")).get(`audience=${orders}`)).json;
    await asAdmin("PUT", "/api/roles/porter", { description: "Carries.", scopes: ["orders:read", "orders:write"] });
    await asAdmin("PATCH", `/api/apis/${encodeURIComponent(orders)}`, { name: "All orders" });
    expect(await isRevoked(token)).toBe(false);
  });
});
