/** An API behind a proxy that asks Latchkey, as the files of deploy/protect/ describe. */
import { createServer, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { createKey } from "./apiKeys.ts";
import { listen } from "./ports.ts";
import { password, startTestService, type TestService, untilServed } from "./service.ts";

/** The audience in the files of deploy/protect/. */
export const audience = "https://orders.example/v1";
export const identityHeaders = [
  "latchkey-user-id",
  "latchkey-username",
  "latchkey-scope",
  "latchkey-roles",
  "latchkey-client-id",
];

/** What reached the application. */
export type Passed = {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
};

/** Starts an application that responds with the request that reached it, and records all of them. */
export async function startApplication() {
  const requests: Passed[] = [];
  const port = await listen(
    createServer((request: IncomingMessage, response) => {
      text(request).then(
        (body) => {
          const headers = Object.fromEntries(
            Object.entries(request.headersDistinct).map(([name, values = []]) => [name, values.join(" | ")]),
          );
          const passed = { method: request.method ?? "", url: request.url ?? "", headers, body };
          requests.push(passed);
          response.setHeader("content-type", "application/json");
          response.statusCode = request.url === "/broken" ? 500 : 200;
          response.end(request.method === "HEAD" ? undefined : JSON.stringify(passed));
        },
        () => response.destroy(),
      );
    }),
  );
  return { port, requests };
}

/** Starts a service with the registered API, and a user who may read orders. */
export async function startProtectingService(settings: Record<string, string> = {}) {
  const service = await startTestService({ TRUST_PROXY: "loopback", ...settings });
  const admin = await service.administrator();
  const asAdmin = (method: string, target: string, json?: unknown) =>
    service.send(method, target, { basic: admin, ...(json !== undefined && { json }) });
  const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
  await asAdmin("POST", "/api/apis", { audience, name: "Orders", scopes });
  await asAdmin("PUT", "/api/roles/reader", { scopes: ["orders:read"] });
  const { id } = await service.register("Ольга");
  await asAdmin("PATCH", `/api/users/${id}`, { roles: ["reader"] });
  const basic: [string, string] = ["Ольга", password];
  const token = await tokenOf(service, basic);
  const { key } = await createKey(service, { basic }, { scopes: ["orders:read"] });
  const setContract = (contract: unknown) =>
    asAdmin("PATCH", `/api/apis/${encodeURIComponent(audience)}`, { contract });
  return { service, admin, asAdmin, setContract, user: { id, basic, token, key } };
}

export async function tokenOf(service: TestService, basic: [string, string]): Promise<string> {
  const answer = await untilServed(() => service.send("GET", `/api/token?audience=${audience}`, { basic }));
  if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.text}`);
  return answer.json.token;
}

/** A contract of the API. */
export const contract = {
  openapi: "3.1.0",
  paths: {
    "/health": { get: { security: [] } },
    "/orders": {
      get: { security: [{ token: ["orders:read"] }, { password: ["orders:read"] }] },
      post: { security: [{ token: ["orders:write"] }] },
    },
    "/files/{name}": { get: { security: [] } },
  },
  components: {
    securitySchemes: { token: { type: "http", scheme: "bearer" }, password: { type: "http", scheme: "basic" } },
  },
};
