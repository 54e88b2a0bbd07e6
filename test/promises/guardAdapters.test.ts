/** The guards of `@latchkey/verify` work with each framework, and no request reaches a handler that its credentials do not allow. */

import { createServer } from "node:http";
import express, { type ErrorRequestHandler } from "express";
import fastify from "fastify";
import { describe, expect, test, vi } from "vitest";
import { expressGuard } from "../../packages/verify/src/adapters/express.ts";
import { fastifyGuard } from "../../packages/verify/src/adapters/fastify.ts";
import { contractGuard, type Guard } from "../../packages/verify/src/index.ts";
import { createTestIssuer } from "../../packages/verify/src/testing.ts";
import { afterTest } from "../support/afterTest.ts";
import { clientOf, contract, frameworks, listening, routes, startFramework } from "../support/guardedServers.ts";

const issuer = createTestIssuer();
afterTest(() => issuer.verifier.close());
const guard = await contractGuard({ contract, verifier: issuer.verifier });
const tokenWith = (...scopes: string[]) => `Bearer ${issuer.issueTestToken({ scopes })}`;
const reader = tokenWith("orders:read");
const writer = tokenWith("orders:read", "orders:write");

/** Requests for protected routes that are written in another way, and what only looks like one. */
const hostile = [
  ...[
    "/v1/ADMIN",
    "/V1/admin",
    "/v1/admin/",
    "//v1/admin",
    "/v1//admin",
    "/v1/%61dmin",
    "/%76%31/admin",
    "/v1/%2561dmin",
  ],
  ...[
    "/v1/x/../admin",
    "/v1/./admin",
    "/v1/x/%2e%2e/admin",
    "/v1/files/..%2f..%2fadmin",
    "/x/../v1/admin",
    "/v1/x/..;/admin",
  ],
  ...[
    "/v1/admin;x",
    "/v1/admin;x/y",
    "/v1/;/admin",
    "/v1/admin%3bx",
    "/v1/admin?x=/v1/page",
    "/v1/admin#x",
    "/v1/admin%23",
    "/v1/admin%3f",
  ],
  ...[
    "/v1/admin%00",
    "/v1/admin%20",
    "/v1/admin%2f",
    "/v1/admin/.",
    "/v1/admin/%2e",
    "/v1/admin.",
    "/v1\\admin",
    "/v1/x\\..\\admin",
  ],
  ...[
    "/v1/x/..%5cadmin",
    "/v1/admin%",
    "/v1/admin%ff",
    "/v1/%EF%BD%81dmin",
    "http://localhost/v1/admin",
    "http://a/x/../v1/admin",
  ],
  ...[
    "/v1/files/a%2fsecret",
    "/v1/files/a%2Fsecret",
    "/v1/files/a//secret",
    "/v1/files//secret",
    "/v1/files/a/secret/",
    "/v1/files/a/SECRET",
  ],
  ...[
    "/v1/files/a/%73ecret",
    "/v1/files/a;/secret",
    "/v1/FILES/a/secret",
    "/v1/files/a%252fsecret",
    "/v1/files/a/x/../secret",
  ],
  ...[
    "/v1/%6frders",
    "/v1/orders%2F1",
    "/v1/Orders/1",
    "/v1/orders//1",
    "/v1/orders/1/",
    "/v1/orders;/1",
    "/v1/orders/1;x=y",
  ],
  ...["/v1/files/../admin", "/v1/files/%2e%2e/admin", "/v1/x%2f..%2fadmin", "///v1/admin", "/v1/admin\u00e9", "*"],
];

/** Every hostile path, and other methods of some. */
const attacks = [
  ...hostile.map((target) => ["GET", target] as const),
  ...["HEAD", "POST", "DELETE", "PUT", "OPTIONS", "PROPFIND"].flatMap((method) =>
    ["/v1/admin", "/v1/orders/1", "/v1/ADMIN", "/v1/files/a%2fsecret"].map((target) => [method, target] as const),
  ),
];

const requiredBy = new Map(routes.map(({ name, requires }) => [name, requires]));

describe.each(Object.entries(frameworks))("%s", (_, framework) => {
  test("a request reaches its handler with the caller, if the scopes suffice", async () => {
    const ask = await startFramework(framework, guard);
    expect((await ask("GET", "/v1/orders", reader)).reached).toMatchObject({ route: "GET /orders", user: "miguel" });
    expect((await ask("POST", "/v1/orders", writer)).reached).toMatchObject({ route: "POST /orders" });
    expect((await ask("GET", "/v1/orders/a%20b?c=d", reader)).reached).toMatchObject({ route: "GET /orders/{id}" });
    expect((await ask("DELETE", "/v1/orders/7", writer)).reached).toMatchObject({ route: "DELETE /orders/{id}" });
    expect((await ask("GET", "/v1/about")).reached).toEqual({ route: "GET /{page}", value: "about" });
    expect((await ask("HEAD", "/v1/orders", reader)).status).toBe(200);
  });

  test("a refused request gets the problem and its headers, and reaches no handler", async () => {
    const ask = await startFramework(framework, guard);
    const none = await ask("GET", "/v1/orders");
    expect(none).toMatchObject({ status: 401, reached: undefined });
    expect(none.headers).toMatchObject({
      "content-type": expect.stringMatching(/^application\/problem\+json/),
      "cache-control": "no-store",
      "www-authenticate": 'Bearer realm="latchkey"',
    });
    expect(JSON.parse(none.text)).toMatchObject({ status: 401, title: "Credentials are required" });
    const weak = await ask("POST", "/v1/orders", reader);
    expect(weak).toMatchObject({ status: 403, reached: undefined });
    expect(JSON.parse(weak.text)).toMatchObject({ scope: "orders:write" });
    expect(await ask("HEAD", "/v1/orders")).toMatchObject({ status: 401, text: "" });
    expect(await ask("GET", "/v1/a/b/c", writer)).toMatchObject({ status: 404, reached: undefined });
    const put = await ask("PUT", "/v1/orders", writer);
    expect(put).toMatchObject({ status: 405, headers: { allow: "GET, HEAD, POST" } });
  });

  test("two Authorization headers are refused, whichever of them a proxy before it has checked", async () => {
    const ask = await startFramework(framework, guard);
    for (const pair of [
      [reader, writer],
      [reader, `Basic ${btoa("susan:secret")}`],
    ])
      expect(await ask("GET", "/v1/orders", undefined, { authorization: pair })).toMatchObject({
        status: 400,
        reached: undefined,
      });
  });

  test("no other way to write a path or a method reaches a handler without its scopes", async () => {
    const [unguarded, guarded] = await Promise.all([
      startFramework(framework, undefined),
      startFramework(framework, guard),
    ]);
    let reachable = 0;
    for (const [method, target] of attacks) {
      const without = await unguarded(method, target);
      if ((requiredBy.get(without.reached?.route ?? "") ?? []).length > 0) reachable += 1;
      for (const [authorization, granted] of [
        [undefined, []],
        [reader, ["orders:read"]],
      ] as const) {
        const { reached } = await guarded(method, target, authorization);
        if (reached === undefined) continue;
        const missing = requiredBy
          .get(reached.route)
          ?.filter((scope) => !(granted as readonly string[]).includes(scope));
        expect(missing, `${method} ${target} reached ${reached.route}`).toEqual([]);
      }
    }
    // Without a guard, some of them are other ways to a protected handler. Otherwise, this would test nothing.
    expect(reachable).toBeGreaterThan(3);
  });

  test("an unexpected error of a guard lets no request through", async () => {
    const written = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const authorize of [
      () => {
        throw new Error("broken");
      },
      () => Promise.reject(new Error("broken")),
    ]) {
      const ask = await startFramework(framework, { authorize });
      const answer = await ask("GET", "/v1/about", writer);
      expect(answer).toMatchObject({ status: 500, reached: undefined });
      expect(answer.text).not.toContain("broken");
      expect(JSON.parse(answer.text)).toEqual({ type: "about:blank", title: "Internal Server Error", status: 500 });
      expect(written).toHaveBeenCalledWith(expect.objectContaining({ message: "broken" }));
    }
    written.mockRestore();
  });
});

const broken: Guard = { authorize: () => Promise.reject(new Error("broken")) };

test("in Express, an error handler that goes on lets no refused request through", async () => {
  const written = vi.spyOn(console, "error").mockImplementation(() => {});
  const goOn: ErrorRequestHandler = (_error, _request, _response, next) => next();
  for (const [one, status] of [
    [guard, 401],
    [broken, 500],
  ] as const) {
    const app = express().use(expressGuard(one), goOn);
    app.use((_request, response) => void response.json({ route: "reached" }));
    const answer = await clientOf(await listening(createServer(app)))("GET", "/v1/admin");
    expect(answer).toMatchObject({ status, reached: undefined });
  }
  written.mockRestore();
});

test("in Express, an absolute URL with an unusual port is not taken for another path", async () => {
  const paths = { "/health": { get: { security: [] } }, "/{tenant}/health": contract.paths["/admin"] };
  const tenants = await contractGuard({ contract: { ...contract, servers: [], paths }, verifier: issuer.verifier });
  const app = express().use(expressGuard(tenants));
  app.get("/:tenant/health", (request, response) => void response.json({ route: request.params.tenant }));
  const ask = clientOf(await listening(createServer(app)));
  expect(await ask("GET", "http://localhost:acme/health")).toMatchObject({ status: 404, reached: undefined });
});

test("in Express, a refusal that comes after another response throws nothing, which would end the process", async () => {
  const thrown: unknown[] = [];
  const middleware = expressGuard(guard);
  const app = express().use((incoming, response, next) => {
    response.status(503).json({});
    try {
      middleware(incoming, response, next);
    } catch (error) {
      thrown.push(error);
    }
  });
  const ask = clientOf(await listening(createServer(app)));
  expect(await ask("GET", "/v1/admin")).toMatchObject({ status: 503 });
  expect(thrown).toEqual([]);
});

test("in Express, a mounted guard compares the whole path", async () => {
  const app = express();
  app.use("/v1", expressGuard(guard), (request, response) => {
    response.json({ route: request.url, user: request.principal?.username });
  });
  const ask = clientOf(await listening(createServer(app)));
  expect((await ask("GET", "/v1/orders?a", reader)).reached).toEqual({ route: "/orders?a", user: "miguel" });
  expect((await ask("GET", "/v1/orders?a")).status).toBe(401);
  expect((await ask("GET", "/v1", reader)).status).toBe(404);
});

test("in Fastify, a hook covers the plugins that are registered after it, their prefixes, and unknown paths", async () => {
  const app = fastify();
  app.get("/v1/admin", async () => ({ route: "before" }));
  app.addHook("onRequest", fastifyGuard(guard));
  app.register(
    (plugin, _options, done) => {
      plugin.get("/orders", async ({ principal }) => ({ route: "plugin", user: principal?.username }));
      plugin.get("/orders/:id", async () => ({ route: "nested" }));
      done();
    },
    { prefix: "/v1" },
  );
  await app.ready();
  const ask = clientOf(await listening(app.server));
  expect((await ask("GET", "/v1/orders", reader)).reached).toEqual({ route: "plugin", user: "miguel" });
  expect((await ask("GET", "/v1/orders/1", reader)).reached).toEqual({ route: "nested" });
  for (const target of ["/v1/orders", "/v1/orders/1", "/v1/admin"]) {
    expect((await ask("GET", target)).status, target).toBe(401);
  }
  const unknown = await ask("GET", "/nothing", writer);
  expect(unknown.headers["content-type"]).toMatch(/^application\/problem\+json/);
  expect(unknown.status).toBe(404);
});

test("in Fastify, a hook of a plugin covers this plugin only", async () => {
  const app = fastify();
  app.register((plugin, _options, done) => {
    plugin.addHook("onRequest", fastifyGuard(guard));
    plugin.get("/v1/admin", async () => ({ route: "guarded" }));
    done();
  });
  app.get("/free", async ({ principal }) => ({ route: "free", user: principal?.username }));
  await app.ready();
  const ask = clientOf(await listening(app.server));
  expect((await ask("GET", "/v1/admin")).status).toBe(401);
  expect((await ask("GET", "/free")).reached).toEqual({ route: "free" });
});
