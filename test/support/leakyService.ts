/** An Express service that is protected as its contract says, except for one hole. */
import { createPublicKey } from "node:crypto";
import { createServer } from "node:http";
import express, { type Request } from "express";
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from "jose";
import { listen } from "./ports.ts";
import type { TestService } from "./service.ts";

export const audience = "https://orders.example/v1";

/** The contract of the service. */
export const contract = `
openapi: 3.1.0
info: { title: Orders, version: 1.0.0 }
paths:
  /health: { get: { security: [], responses: {} } }
  /me: { get: { security: [{ token: [] }], responses: {} } }
  /orders:
    get: { security: [{ token: [orders:read] }], responses: {} }
    post: { security: [{ token: [orders:write] }], responses: {} }
  /orders/{id}:
    parameters: [{ name: id, in: path, required: true, schema: { type: integer }, example: 7 }]
    get: { security: [{ token: [orders:read] }], responses: {} }
components:
  securitySchemes: { token: { type: http, scheme: bearer } }
`;

export type Hole =
  | "forgotten operation"
  | "guarded handler that is not found"
  | "no signature check"
  | "alg none"
  | "public key as secret"
  | "embedded key"
  | "no exp check"
  | "no aud check"
  | "no scope check"
  | "no revocation check"
  | "X-User"
  | "X_User"
  | "user of a header"
  | "user of an alias"
  | "scopes of a header"
  | "HEAD"
  | "TRACE"
  | "PATCH"
  | "case and slash"
  | "decoding router"
  | "normalizing router"
  | "open prefix"
  | "OPTIONS"
  | "method override"
  | "method override after the check"
  | "X-Original-URL"
  | "X-Forwarded-For"
  | "none";

/** @param clock in milliseconds */
export async function startLeakyService(latchkey: TestService, hole: Hole, clock: () => number): Promise<string> {
  const keys = createRemoteJWKSet(new URL(`${latchkey.url}/.well-known/jwks.json`));

  /** @throws {Error} if the token is not valid */
  async function verified(token: string): Promise<JWTPayload> {
    const header = decodeProtectedHeader(token);
    const payload = decodeJwt(token);
    if (hole === "no signature check") return payload;
    if (hole === "alg none" && header.alg === "none") return payload;
    const currentDate = new Date(clock());
    if (hole === "embedded key" && header.jwk) return (await jwtVerify(token, header.jwk, { currentDate })).payload;
    if (hole === "public key as secret" && header.alg === "HS256") {
      const [key] = ((await (await fetch(`${latchkey.url}/.well-known/jwks.json`)).json()) as { keys: object[] }).keys;
      const pem = createPublicKey({ key: { ...key }, format: "jwk" }).export({ type: "spki", format: "pem" });
      return (await jwtVerify(token, Buffer.from(pem), { currentDate })).payload;
    }
    await jwtVerify(token, keys, {
      issuer: "http://127.0.0.1:8080",
      ...(hole !== "no aud check" && { audience }),
      currentDate: hole === "no exp check" ? new Date(Number(payload.iat) * 1000) : currentDate,
    });
    const subjects = [payload.jti, payload["sid"], payload.sub];
    const found = await latchkey.sql("SELECT FROM revocations WHERE subject = ANY ($1)", [subjects]);
    if (found.length > 0 && hole !== "no revocation check") throw new Error("revoked");
    return payload;
  }

  /** @returns the status with which a request is refused */
  async function refusal(request: Request): Promise<401 | 403 | undefined> {
    const { method, path, headers } = request;
    const seenPath = hole === "X-Original-URL" ? String(headers["x-original-url"] ?? path) : path;
    if (seenPath === "/health") return undefined;
    if (hole === "open prefix" && path.startsWith("/health/")) return undefined;
    if (hole === "forgotten operation" && path === "/orders/7") return undefined;
    if (hole === "guarded handler that is not found" && path === "/orders/7") return undefined;
    if (hole === "HEAD" && method === "HEAD") return undefined;
    if (hole === "TRACE" && method === "TRACE") return undefined;
    if (hole === "OPTIONS" && method === "OPTIONS") return undefined;
    if (hole === "PATCH" && method === "PATCH") return undefined;
    if (hole === "case and slash" && !["/me", "/orders", "/orders/7"].includes(path)) return undefined;
    if (/router/.test(hole) && !["/me", "/orders", "/orders/7"].includes(path)) return undefined;
    if (hole === "method override after the check" && method === "OPTIONS") return undefined;
    if (hole === "method override" && headers["x-http-method-override"] === "OPTIONS") return undefined;
    if (hole === "X-Forwarded-For" && headers["x-forwarded-for"] === "127.0.0.1") return undefined;
    if (hole === "X-User" && headers["x-user"]) return undefined;
    if (hole === "X_User" && headers["x_user"]) return undefined;
    const [, token = ""] = /^Bearer (.+)$/.exec(headers.authorization ?? "") ?? [];
    try {
      const { scope } = await verified(token);
      const forged = hole === "scopes of a header" ? headers["latchkey-scope"] : undefined;
      const scopes = String(forged ?? scope).split(" ");
      if (path === "/me") return undefined;
      const needed = method === "POST" ? "orders:write" : "orders:read";
      return scopes.includes(needed) || hole === "no scope check" ? undefined : 403;
    } catch {
      return 401;
    }
  }

  const app = express();
  app.disable("x-powered-by");
  app.use(async (request, response, next) => {
    const status = await refusal(request);
    if (status === undefined) return next();
    response.status(status).json({ status });
  });
  app.use((request, _response, next) => {
    if (hole === "decoding router") request.url = decodeURIComponent(request.url);
    if (hole === "normalizing router" || hole === "open prefix")
      request.url = new URL(request.url, "http://x").pathname;
    const override = request.headers["x-http-method-override"];
    if (hole === "method override after the check" && typeof override === "string") request.method = override;
    next();
  });
  app.get("/health", (_request, response) => void response.json({ at: "health" }));
  app.get("/me", ({ headers }, response) => {
    const alias =
      hole === "user of a header" ? "latchkey-username" : hole === "user of an alias" ? "latchkey-user_id" : "";
    response.json({ name: headers[alias] ?? "miguel" });
  });
  app[/router|override/.test(hole) ? "get" : "all"]("/orders", (_request, response) => {
    response.json({ orders: ["a latch"] });
  });
  app.get("/orders/:id", (_request, response) => {
    if (hole === "guarded handler that is not found") response.status(404).json({});
    else response.json({ id: 7, item: "a latch" });
  });
  return `http://127.0.0.1:${await listen(createServer(app))}`;
}
