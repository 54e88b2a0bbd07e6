/** Every response has its security headers, each once, and no error may be cached. */
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const plain = await startTestService();
const withCors = await startTestService({ CORS_ORIGINS: "https://app.example.com" });
for (const service of [plain, withCors]) await service.register("miguel");
const basic: [string, string] = ["miguel", password];

const certificate = {
  TLS_CERT: "test/support/certificates/one.cert.pem",
  TLS_KEY: "test/support/certificates/one.key.pem",
};
const overHttps = { "x-forwarded-proto": "https" };

/** OWASP's REST Security Cheat Sheet; helmet adds more. */
const protective = {
  "content-security-policy": /default-src 'none'/,
  "x-content-type-options": /^nosniff$/,
  "x-frame-options": /^SAMEORIGIN$/,
};

test.each<[string, string, string, number, object]>([
  ["a success", "GET", "/api/resource", 200, { basic }],
  ["what was made", "POST", "/api/users", 201, { json: { username: "susan", password } }],
  ["no content", "DELETE", "/api/sessions", 204, { basic }],
  ["a page with a policy of its own", "GET", "/docs", 200, {}],
  ["another one", "GET", "/problems/not-found", 200, {}],
  ["the answer to HEAD", "HEAD", "/livez", 200, {}],
  ["the answer to HEAD of an operation with parameters", "HEAD", "/problems/not-found", 200, {}],
  ["a problem of an operation", "GET", "/api/resource", 401, {}],
  ["an invalid request", "POST", "/api/users", 400, { json: {} }],
  ["a path that is not there", "GET", "/nowhere", 404, {}],
  ["a method that is not there", "PATCH", "/api/users", 405, {}],
  [
    "a request that can be read in two ways",
    "GET",
    "/livez",
    400,
    { headers: { "transfer-encoding": "gzip, chunked" } },
  ],
  ["what a script of another origin gets", "GET", "/livez", 200, { headers: { origin: "https://app.example.com" } }],
  [
    "the answer to what a browser asks before it",
    "OPTIONS",
    "/api/users",
    204,
    { headers: { origin: "https://app.example.com", "access-control-request-method": "POST" } },
  ],
])("%s", async (_what, method, target, status, sent) => {
  const isFromElsewhere = JSON.stringify(sent).includes("origin");
  for (const service of isFromElsewhere ? [withCors] : [plain, withCors]) {
    const answer =
      method === "OPTIONS"
        ? await preflight(target, (sent as { headers: Record<string, string> }).headers)
        : await service.send(method, target, sent);
    expectProtected(answer, status);
  }
});

function expectProtected(answer: { status: number; headers: Record<string, string[]> }, status: number): void {
  expect(answer.status).toBe(status);
  for (const [name, value] of Object.entries(protective)) {
    expect(answer.headers[name], name).toEqual([expect.stringMatching(value)]);
  }
  expect(answer.headers["strict-transport-security"]).toBeUndefined(); // RFC 6797, section 7.2
  expect(answer.headers["x-request-id"]).toHaveLength(1);
  if (status >= 400) expect(answer.headers["cache-control"]).toEqual(["no-store"]);
  for (const [name, values] of Object.entries(answer.headers)) {
    if (name !== "www-authenticate") expect(values, name).toHaveLength(1);
  }
}

/** A preflight is no operation of the contract, so the validating client cannot send it. */
async function preflight(target: string, headers: Record<string, string>, url = withCors.url) {
  const answer = await fetch(url + target, { method: "OPTIONS", headers });
  return {
    status: answer.status,
    headers: Object.fromEntries([...answer.headers].map(([name, value]) => [name, [value]])),
  };
}

describe("Strict-Transport-Security", () => {
  const hsts = async (settings: Record<string, string>, headers: Record<string, string> = {}) => {
    const service = await startTestService(settings, plain.databaseUrl);
    const values = new Set<string | undefined>();
    for (const [method, target, status, sent] of [
      ["GET", "/api/resource", 200, { basic }],
      ["GET", "/docs", 200, {}],
      ["GET", "/api/resource", 401, {}],
      ["GET", "/nowhere", 404, {}],
      ["HEAD", "/livez", 200, {}],
      ["GET", "/livez", 400, { headers: { "transfer-encoding": "gzip, chunked" } }],
    ] as const) {
      const answer = await service.send(method, target, { ...sent, headers: { ...headers, ...Object(sent).headers } });
      expect(answer.status).toBe(status);
      values.add(answer.header("strict-transport-security"));
    }
    expect(values.size).toBe(1);
    return [...values][0];
  };

  test("is sent over TLS, for one year and without subdomains", async () => {
    expect(await hsts(certificate)).toBe("max-age=31536000");
  });

  test("is not sent over plain HTTP, whatever an untrusted client forwards", async () => {
    expect(await hsts({}, overHttps)).toBeUndefined();
    expect(await hsts({ TRUST_PROXY: "192.0.2.1" }, overHttps)).toBeUndefined();
    expect(await hsts({ TRUST_PROXY: "loopback" })).toBeUndefined();
    expect(await hsts({ TRUST_PROXY: "loopback" }, { "x-forwarded-proto": "http" })).toBeUndefined();
    expect(await hsts({ TRUST_PROXY: "0" }, overHttps)).toBeUndefined();
  });

  test("is sent behind a trusted proxy that says https, and not where it says http", async () => {
    expect(await hsts({ TRUST_PROXY: "loopback" }, overHttps)).toBe("max-age=31536000");
    expect(await hsts({ TRUST_PROXY: "1" }, overHttps)).toBe("max-age=31536000");
    expect(await hsts({ ...certificate, TRUST_PROXY: "1" }, { "x-forwarded-proto": "http" })).toBeUndefined();
  });

  test("follows the settings", async () => {
    expect(await hsts({ ...certificate, HSTS_MAX_AGE_SECONDS: "60", HSTS_INCLUDE_SUBDOMAINS: "on" })).toBe(
      "max-age=60; includeSubDomains",
    );
    expect(await hsts({ ...certificate, HSTS_MAX_AGE_SECONDS: "0" })).toBe("max-age=0");
    expect(await hsts({ ...certificate, HSTS_MAX_AGE_SECONDS: "off" })).toBeUndefined();
  });

  test("is in the response to a preflight", async () => {
    const settings = { CORS_ORIGINS: "*", TRUST_PROXY: "loopback" };
    const { url } = await startTestService(settings, plain.databaseUrl);
    const asked = { origin: "https://app.example.com", "access-control-request-method": "POST" };
    const answer = await preflight("/api/users", { ...asked, ...overHttps }, url);
    expect(answer.headers["strict-transport-security"]).toEqual(["max-age=31536000"]);
    expect((await preflight("/api/users", asked, url)).headers["strict-transport-security"]).toBeUndefined();
  });
});
