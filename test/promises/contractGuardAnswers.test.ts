/** A contract guard in another service refuses requests exactly as Latchkey does. */
import { createServer } from "node:http";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { guarded } from "../../packages/verify/src/adapters/node.ts";
import { contractGuard, createVerifier } from "../../packages/verify/src/index.ts";
import { afterTest } from "../support/afterTest.ts";
import { type Answer, clientOf, listening } from "../support/guardedServers.ts";
import { freePort } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";

const audience = "https://orders.example/v1";
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
const service = await startTestService({ PORT: String(port), PUBLIC_URL: issuer });
const basic = await service.administrator();

async function create(method: string, path: string, json: unknown, by = basic) {
  const answer = await service.send(method, path, { basic: by, json });
  expect([200, 201], answer.text).toContain(answer.status);
  return answer.json;
}
const rights = ["revocations:read", "tokens:introspect", "apis:read"];
await create("POST", "/api/apis", {
  audience,
  name: "Orders",
  scopes: ["orders:read", "orders:admin"].map((name) => ({ name, description: name })),
});
await create("PUT", "/api/roles/clerk", { description: "Reads orders.", scopes: ["orders:read"] });
await create("PUT", "/api/roles/verifier", { description: "Verifies credentials.", scopes: rights });
await create("POST", "/api/users", { username: "miguel", password, roles: ["clerk"] });
await create("POST", "/api/users", { username: "orders-service", password, roles: ["verifier"] });
const { key: credential } = await create("POST", "/api/api-keys", { name: "orders", scopes: rights }, [
  "orders-service",
  password,
]);

const verifier = createVerifier({ issuer, audience, credential });
afterTest(() => verifier.close());

const any = (scopes: string[]) => ["basicAuth", "bearerAuth", "apiKeyAuth"].map((name) => ({ [name]: scopes }));
/** Operations of Latchkey's own contract, with a scope of this API in place of `users:read`. */
const guard = await contractGuard({
  verifier,
  contract: {
    openapi: "3.1.0",
    paths: {
      "/api/users": { get: { security: any(["orders:admin"]) } },
      "/api/token": { get: { security: [{ basicAuth: [] }] }, delete: { security: [{ bearerAuth: [] }] } },
      "/api/resource": { get: { security: any([]) } },
    },
    components: {
      securitySchemes: {
        basicAuth: { type: "http", scheme: "basic" },
        bearerAuth: { type: "http", scheme: "bearer" },
        apiKeyAuth: { type: "http", scheme: "bearer" },
      },
    },
  },
});
const askGuard = clientOf(await listening(createServer(guarded(guard, (_request, response) => response.end()))));

const token = async (query = "") =>
  (await service.send("GET", `/api/token${query}`, { basic: ["miguel", password] })).json.token as string;
const tokenForApi = () => token(`?audience=${audience}`);

/** What a client sees of a refusal, except the id of the request. */
function seen({ status, headers, text }: Pick<Answer, "status" | "headers" | "text">) {
  const { instance: _, type, ...problem } = JSON.parse(text);
  const names = ["www-authenticate", "cache-control", "content-type", "allow", "retry-after"];
  const shown = {
    status,
    type,
    ...problem,
    headers: names.map((name) => [name, [headers[name] ?? []].flat().join(", ")]),
  };
  return JSON.parse(JSON.stringify(shown).replaceAll(issuer, "").replaceAll("orders:admin", "users:read"));
}

type Case = { request: string; headers?: Record<string, string>; own?: string; other?: string };
const same = (credentials: string) => ({ own: credentials, other: credentials });

/** Two tokens that expire in the same second, because refusals say when a token expired. */
async function tokensOfOneSecond() {
  for (let attempt = 0; attempt < 20; attempt++) {
    const [own, other] = [await token(), await tokenForApi()];
    if (decodeJwt(own).exp === decodeJwt(other).exp) return { own: `Bearer ${own}`, other: `Bearer ${other}` };
  }
  throw new Error("no two tokens of one second");
}

service.advance(-3_600);
const expired = await tokensOfOneSecond();
service.advance(3_600);
const valid = await tokensOfOneSecond();
const keyOf = async (scopes: string[]) =>
  `Bearer ${(await create("POST", "/api/api-keys", { name: "key", scopes }, ["miguel", password])).key}`;
const apiKey = same(await keyOf(["orders:read"]));

const cases: Record<string, Case> = {
  "no credentials": { request: "GET /api/users" },
  "no credentials, from a script": { request: "GET /api/users", headers: { "Sec-Fetch-Dest": "empty" } },
  "no credentials, from the address bar": { request: "GET /api/users", headers: { "Sec-Fetch-Dest": "document" } },
  "no credentials for a token only": { request: "DELETE /api/token" },
  "no credentials for a token only, from a script": {
    request: "DELETE /api/token",
    headers: { "Sec-Fetch-Dest": "empty" },
  },
  "no credentials for Basic only": { request: "GET /api/token" },
  "no credentials for Basic only, from a script": { request: "GET /api/token", headers: { "Sec-Fetch-Dest": "empty" } },
  "a token for Basic only": { request: "GET /api/token", ...valid },
  "an unknown scheme": { request: "GET /api/users", ...same("Digest username=miguel") },
  "a malformed token": { request: "GET /api/users", ...same("Bearer garbage") },
  "a malformed token, from a script": {
    request: "GET /api/users",
    headers: { "Sec-Fetch-Dest": "empty" },
    ...same("Bearer garbage"),
  },
  "an empty token": { request: "DELETE /api/token", ...same("Bearer") },
  "an expired token": { request: "GET /api/users", ...expired },
  "an unknown API key": { request: "GET /api/users", ...same(`Bearer lk_${"a".repeat(49)}`) },
  "a malformed Basic value": { request: "GET /api/users", ...same("Basic %") },
  "a token without the scope": { request: "GET /api/users", ...valid },
  "an API key without the scope": { request: "GET /api/users", ...apiKey },
  "another method": { request: "PUT /api/resource" },
};

test.each(Object.entries(cases))(
  "a request with %s is refused as by Latchkey",
  async (_, { request, headers, own, other }) => {
    const [method = "", path = ""] = request.split(" ");
    const [byLatchkey, byGuard] = await Promise.all([
      service.send(method, path, { headers: { ...headers, ...(own && { authorization: own }) } }),
      askGuard(method, path, other, headers),
    ]);
    expect(byLatchkey.status).toBeGreaterThanOrEqual(400);
    expect(seen(byGuard)).toEqual(seen(byLatchkey));
  },
);

test("a revoked token is refused as by Latchkey, and a token of Latchkey itself is not valid", async () => {
  const [own, other] = [await token(), await tokenForApi()];
  expect((await askGuard("GET", "/api/resource", `Bearer ${other}`)).status).toBe(200);
  await service.send("DELETE", "/api/token", { bearer: own });
  const form = { "Content-Type": "application/x-www-form-urlencoded" };
  await service.send("POST", "/oauth/revoke", { headers: form, body: `token=${other}` });
  let byGuard: Answer;
  do byGuard = await askGuard("GET", "/api/resource", `Bearer ${other}`);
  while (byGuard.status === 200);
  expect(seen(byGuard)).toEqual(seen(await service.send("GET", "/api/resource", { bearer: own })));
  const foreign = await askGuard("GET", "/api/resource", `Bearer ${await token()}`);
  expect(foreign).toMatchObject({ status: 401, text: expect.stringContaining("/problems/invalid-token") });
});
