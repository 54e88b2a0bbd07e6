/** The same API on each framework, with and without the guard of `@latchkey/verify`. */
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { getRequestListener } from "@hono/node-server";
import express from "express";
import express4 from "express4";
import fastify from "fastify";
import { Hono } from "hono";
import { expressGuard } from "../../packages/verify/src/adapters/express.ts";
import { fastifyGuard } from "../../packages/verify/src/adapters/fastify.ts";
import { guarded as guardedNode } from "../../packages/verify/src/adapters/node.ts";
import { check, guarded as guardedWeb } from "../../packages/verify/src/adapters/web.ts";
import type { Guard, Principal } from "../../packages/verify/src/index.ts";
import { afterTest } from "./afterTest.ts";

const bearer = (...scopes: string[]) => ({ security: [{ bearer: scopes }] });
const open = { security: [] };

export const contract = {
  openapi: "3.1.0",
  servers: [{ url: "/v1" }],
  paths: {
    "/orders": { get: bearer("orders:read"), post: bearer("orders:write") },
    "/orders/{id}": { get: bearer("orders:read"), delete: bearer("orders:write") },
    "/admin": { get: bearer("orders:write") },
    "/files/{name}": { get: open },
    "/files/{name}/secret": { get: bearer("orders:write") },
    "/{page}": { get: open },
    "/{folder}/{page}": { get: open },
  },
  components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
};

/** The routes, as an application would register them: the most specific first. */
export const routes = Object.entries(contract.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, { security }]) => ({
    method: method.toUpperCase(),
    path,
    name: `${method.toUpperCase()} ${path}`,
    requires: security.flatMap(({ bearer }) => bearer),
  })),
);

/** What each route responds with. */
export type Reached = { route: string; user?: string; value?: string };

const reached = (route: string, principal: Principal | undefined, parameters: object): Reached => ({
  route,
  ...(principal && { user: principal.username ?? principal.clientId }),
  value: Object.values(parameters).join(),
});

const colons = (path: string) => path.replace(/\{(\w+)\}/g, ":$1");

type Framework = (guard: Guard | undefined) => Promise<Server>;

export const listening = (server: Server): Promise<Server> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));

function expressRouter(framework: typeof express, prefix: string) {
  const router = framework.Router();
  for (const { method, path, name } of routes) {
    router[method === "GET" ? "get" : method === "POST" ? "post" : "delete"](
      prefix + colons(path),
      (incoming, response) => void response.json(reached(name, incoming.principal, incoming.params)),
    );
  }
  return router;
}

/** A router as many applications have it: the URL parser of the Web, and the first pattern that matches. */
function naiveRouter(base: string) {
  const decoded = (path: string) => {
    try {
      return decodeURI(path);
    } catch {
      return path;
    }
  };
  const patterns = routes.map((route) => ({
    ...route,
    pattern: new RegExp(`^${base}${route.path.replace(/\{\w+\}/g, "([^/]+)")}/?$`, "i"),
  }));
  return (
    { method = "", url = "" }: { method?: string | undefined; url?: string | undefined },
    principal: Principal | undefined,
  ) => {
    if (!URL.canParse(url, "http://localhost")) return undefined;
    const { pathname } = new URL(url, "http://localhost");
    const asked = method === "HEAD" ? "GET" : method;
    for (const route of patterns) {
      const match = route.method === asked ? route.pattern.exec(decoded(pathname)) : null;
      if (match) return reached(route.name, principal, match.slice(1));
    }
    return undefined;
  };
}

const withoutGuard: Guard = { authorize: () => undefined };

export const frameworks: Record<string, Framework> = {
  "node:http": async (guard = withoutGuard) => {
    const route = naiveRouter("/v1");
    const handler = guardedNode(guard, (incoming, response, principal) => {
      const found = route(incoming, principal);
      response.writeHead(found ? 200 : 404).end(JSON.stringify(found));
    });
    return listening(createServer(handler));
  },
  "Express 5": async (guard) => {
    const app = express();
    if (guard) app.use(expressGuard(guard));
    app.use(expressRouter(express, "/v1"));
    return listening(createServer(app));
  },
  "Express 5, mounted": async (guard) => {
    const app = express();
    const router = express.Router();
    if (guard) router.use(expressGuard(guard));
    router.use(expressRouter(express, ""));
    app.use("/v1", router);
    return listening(createServer(app));
  },
  "Express 4": async (guard) => {
    const app = express4();
    if (guard) app.use("/v1", expressGuard(guard));
    app.use("/v1", expressRouter(express4, ""));
    return listening(createServer(app));
  },
  Fastify: async (guard) => {
    const app = fastify();
    if (guard) app.addHook("onRequest", fastifyGuard(guard));
    app.register(
      (instance, _options, done) => {
        for (const { method, path, name } of routes) {
          instance.route({
            method,
            url: colons(path),
            handler: async (incoming) => reached(name, incoming.principal, incoming.params as object),
          });
        }
        done();
      },
      { prefix: "/v1" },
    );
    await app.ready();
    return listening(app.server);
  },
  "Fastify, lenient": async (guard) => {
    const app = fastify({
      routerOptions: {
        caseSensitive: false,
        ignoreTrailingSlash: true,
        ignoreDuplicateSlashes: true,
      },
      useSemicolonDelimiter: true,
    });
    if (guard) app.addHook("onRequest", fastifyGuard(guard));
    for (const { method, path, name } of routes) {
      app.route({
        method,
        url: `/v1${colons(path)}`,
        handler: async (incoming) => reached(name, incoming.principal, incoming.params as object),
      });
    }
    await app.ready();
    return listening(app.server);
  },
  Hono: async (guard) => {
    const app = new Hono<{ Variables: { principal: Principal | undefined } }>().basePath("/v1");
    if (guard) {
      app.use(async (context, next) => {
        const { principal, refused } = await check(guard, context.req.raw);
        if (refused) return refused;
        context.set("principal", principal);
        await next();
      });
    }
    for (const { method, path, name } of routes) {
      app.on(method, colons(path), (context) =>
        context.json(reached(name, context.get("principal"), context.req.param())),
      );
    }
    return listening(createServer(getRequestListener(app.fetch)));
  },
  "Web handler": async (guard = withoutGuard) => {
    const route = naiveRouter("/v1");
    const handler = guardedWeb(guard, (incoming, principal) => {
      const found = route(incoming, principal);
      return Response.json(found ?? {}, { status: found ? 200 : 404 });
    });
    return listening(createServer(getRequestListener((incoming) => handler(incoming))));
  },
};

export type Answer = {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
  reached: Reached | undefined;
};
export type Ask = (
  method: string,
  target: string,
  authorization?: string,
  headers?: Record<string, string | string[]>,
) => Promise<Answer>;

/** Serves the framework's server during the test. */
export async function startFramework(framework: Framework, guard: Guard | undefined): Promise<Ask> {
  return clientOf(await framework(guard));
}

/** Closes a server after the test. Returns a client that sends the target exactly as written. */
export function clientOf(server: Server): Ask {
  afterTest(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return (method, target, authorization, headers = {}) =>
    new Promise((resolve, reject) => {
      const all = { ...headers, ...(authorization !== undefined && { authorization }) };
      const outgoing = request(
        { host: "127.0.0.1", port, method, path: target, headers: all, agent: false, timeout: 10_000 },
        (incoming) => {
          text(incoming)
            .then((body) => {
              const status = incoming.statusCode ?? 0;
              const isReached = status === 200 && body.startsWith('{"route"');
              const reached = isReached ? JSON.parse(body) : undefined;
              resolve({ status, headers: incoming.headers, text: body, reached });
            })
            .catch(reject);
        },
      );
      outgoing.once("timeout", () => outgoing.destroy(new Error(`${method} ${target}: no answer`)));
      outgoing.once("error", (error) => reject(new Error(`${method} ${target}: ${error.message}`))).end();
    });
}
