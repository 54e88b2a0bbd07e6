/** A contract guard enforces the `security` of another service's own OpenAPI document. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { type ContractGuardOptions, contractGuard, type Guard, Refusal } from "../../packages/verify/src/index.ts";
import { createTestIssuer } from "../../packages/verify/src/testing.ts";
import { afterTest } from "../support/afterTest.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const scopes = ["orders:read", "orders:write"];
const issuer = createTestIssuer({ registeredScopes: scopes });
afterTest(() => issuer.verifier.close());

const contract = {
  openapi: "3.1.0",
  servers: [{ url: "https://api.example/v1" }],
  paths: {
    "/orders": {
      get: { security: [{ bearer: ["orders:read"] }] },
      post: { security: [{ bearer: ["orders:write"] }] },
    },
    "/orders/{id}": {
      get: { security: [{}, { bearer: ["orders:read"] }] },
      put: { security: [{ bearer: ["orders:write"] }, { bearer: ["orders:read", "orders:admin"] }] },
    },
    "/health": { get: { security: [] } },
  },
  components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
};
const registered = {
  ...contract,
  paths: { ...contract.paths, "/orders/{id}": { get: contract.paths["/orders/{id}"].get } },
};

const guardWith = (options: Partial<ContractGuardOptions> = {}): Promise<Guard> =>
  contractGuard({ contract: registered, verifier: issuer.verifier, ...options });

/** The caller's name, `open` without one, or the status and slug of the refusal. */
async function ask(guard: Guard, request: string, authorization?: string): Promise<string> {
  const [method = "", url = ""] = request.split(" ");
  try {
    return (await guard.authorize({ method, url, authorization }))?.username ?? "open";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return `${error.status} ${error.problem.type.split("/").at(-1)}`;
  }
}

const reader = `Bearer ${issuer.issueTestToken({ scopes: ["orders:read"], username: "reader" })}`;
const writer = `Bearer ${issuer.issueTestToken({ scopes, username: "writer" })}`;
const key = `Bearer ${issuer.issueTestApiKey({ scopes: ["orders:read"], username: "robot" })}`;

test("each operation requires its own scopes, of a token or an API key", async () => {
  const guard = await guardWith();
  expect(await ask(guard, "GET /v1/orders")).toBe("401 authentication-required");
  expect(await ask(guard, "GET /v1/orders", reader)).toBe("reader");
  expect(await ask(guard, "HEAD /v1/orders?a=b", reader)).toBe("reader");
  expect(await ask(guard, "GET /v1/orders", key)).toBe("robot");
  expect(await ask(guard, "GET /v1/orders", `Basic ${btoa(`${reader.slice("Bearer ".length)}:unused`)}`)).toBe(
    "reader",
  );
  expect(await ask(guard, "POST /v1/orders", reader)).toBe("403 insufficient-scope");
  expect(await ask(guard, "POST /v1/orders", key)).toBe("403 insufficient-scope");
  expect(await ask(guard, "POST /v1/orders", writer)).toBe("writer");
  expect(await ask(guard, "GET /v1/orders", `${reader}x`)).toBe("401 invalid-token");
  expect(await ask(guard, "GET /v1/health", `${reader}x`)).toBe("open");
});

test("a revoked token is refused, and its user's other token is not", async () => {
  const guard = await guardWith();
  const token = issuer.issueTestToken({ scopes });
  await issuer.verifier.ready();
  expect(await ask(guard, "POST /v1/orders", `Bearer ${token}`)).toBe("miguel");
  await issuer.revoke(token);
  expect(await ask(guard, "POST /v1/orders", `Bearer ${token}`)).toBe("401 token-revoked");
  expect(await ask(guard, "POST /v1/orders", writer)).toBe("writer");
});

test("if an alternative is {}, insufficient credentials are like none", async () => {
  const guard = await guardWith();
  const without = `Bearer ${issuer.issueTestToken({})}`;
  expect(await ask(guard, "GET /v1/orders/7")).toBe("open");
  expect(await ask(guard, "GET /v1/orders/7", reader)).toBe("reader");
  expect(await ask(guard, "GET /v1/orders/7", without)).toBe("open");
  expect(await ask(guard, "GET /v1/orders/7", `${reader}x`)).toBe("open");
  expect(await ask(guard, "GET /v1/orders/7", "Basic %")).toBe("400 invalid-request");
});

test("one of several alternatives is enough, and a 403 names what the nearest one lacks", async () => {
  const all = createTestIssuer({ registeredScopes: [...scopes, "orders:admin"] });
  afterTest(() => all.verifier.close());
  const guard = await guardWith({ contract, verifier: all.verifier });
  const authorize = (scopes: string[]) =>
    ask(guard, "PUT /v1/orders/7", `Bearer ${all.issueTestToken({ scopes, username: scopes.join() })}`);
  expect(await authorize(["orders:write"])).toBe("orders:write");
  expect(await authorize(["orders:admin", "orders:read"])).toBe("orders:admin,orders:read");
  expect(await authorize(["orders:read"])).toBe("403 insufficient-scope");
  const authorization = `Bearer ${all.issueTestToken({ scopes: ["orders:admin"] })}`;
  const refused = await Promise.resolve()
    .then(() => guard.authorize({ method: "PUT", url: "/v1/orders/7", authorization }))
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ problem: { scope: "orders:write" } });
});

test("a token needs the scopes of an alternative for tokens, and no credential is enough where only a password is", async () => {
  const password = [{ login: [] }];
  const guard = await guardWith({
    contract: {
      openapi: "3.1.0",
      paths: {
        "/either": { get: { security: [...password, { bearer: ["orders:write"] }] } },
        "/password": { get: { security: password } },
        "/greeting": { get: { security: [{}, ...password] } },
      },
      components: {
        securitySchemes: { ...contract.components.securitySchemes, login: { type: "http", scheme: "basic" } },
      },
    },
  });
  expect(await ask(guard, "GET /either", reader)).toBe("403 insufficient-scope");
  expect(await ask(guard, "GET /either", writer)).toBe("writer");
  for (const sent of [
    writer,
    key,
    `Basic ${btoa(`${writer.slice("Bearer ".length)}:unused`)}`,
    `Basic ${btoa("a:b")}`,
  ]) {
    expect(await ask(guard, "GET /password", sent)).toBe("401 authentication-required");
    expect(await ask(guard, "GET /greeting", sent)).toBe("open");
  }
});

test("a path beyond the contract is a 404 unless it is allowed, another method a 405 in any case", async () => {
  const [strict, lax] = await Promise.all([guardWith(), guardWith({ undeclared: "allow" })]);
  for (const url of ["/", "/logo.svg", "/v1/pages/7?x"]) {
    expect(await ask(strict, `GET ${url}`, writer)).toBe("404 not-found");
    expect(await ask(lax, `GET ${url}`)).toBe("open");
  }
  for (const url of [
    "/v1/ORDERS",
    "//v1/orders",
    "/v1/orders/",
    "/x/../v1/orders",
    "/v1/%6frders",
    "/v1/orders;x",
    "/V1/orders/7",
    "*",
  ]) {
    expect(await ask(lax, `GET ${url}`), url).toBe("404 not-found");
  }
  for (const guard of [strict, lax]) {
    expect(await ask(guard, "DELETE /v1/orders", writer)).toBe("405 method-not-allowed");
    expect(await ask(guard, "OPTIONS /v1/health", writer)).toBe("405 method-not-allowed");
  }
  const refused = await Promise.resolve()
    .then(() => strict.authorize({ method: "DELETE", url: "/v1/orders", authorization: undefined }))
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ headers: { Allow: "GET, HEAD, POST" } });
});

test("the path of an absolute URL counts, and a URL with an unusual origin is refused", async () => {
  const guard = await guardWith({ basePath: "" });
  expect(await ask(guard, "GET https://api.example/health?x")).toBe("open");
  expect(await ask(guard, "GET http://127.0.0.1:3000/orders", reader)).toBe("reader");
  expect(await ask(guard, "GET HTTP://[::1]:3000/orders", reader)).toBe("reader");
  for (const url of [
    "http:///health",
    "https://api.example",
    "https://a/orders@b/health",
    "https://a\\b/health",
    "ftp://a/health",
    "http://a?/health",
    "http://a:80:90/health",
    "http://a:b/health",
    "http://a;b/health",
    "http://a%2fb/health",
    "http://[::1/health",
  ]) {
    expect(await ask(guard, `GET ${url}`), url).toBe("404 not-found");
  }
});

test("the contract can be a file, by its path or URL, in YAML or JSON", async () => {
  const file = join(await temporaryFolder(), "openapi.json");
  await writeFile(file, JSON.stringify(registered));
  for (const contract of [file, pathToFileURL(file)]) {
    expect(await ask(await guardWith({ contract }), "GET /v1/health")).toBe("open");
  }
  await writeFile(file, "openapi: 3.1.0\npaths: { /a: { get: { security: [] } } }");
  expect(await ask(await guardWith({ contract: file }), "GET /a")).toBe("open");
  await expect(guardWith({ contract: `${file}.yaml` })).rejects.toThrow("ENOENT");
});

test("it does not start if the contract requires a scope that is not registered, or cannot be enforced", async () => {
  await expect(guardWith({ contract })).rejects.toThrow(
    "PUT /orders/{id} requires the scope orders:admin, which is not registered in Latchkey for https://api.example.",
  );
  const open = { ...registered, paths: { "/a": { get: {} } } };
  await expect(guardWith({ contract: open })).rejects.toThrow("GET /a has no security");
  const unreachable = {
    ...issuer.verifier,
    registeredScopes: () => Promise.reject(new Error("Latchkey does not respond.")),
  };
  await expect(guardWith({ verifier: unreachable })).rejects.toThrow("Latchkey does not respond.");
});
