/** A page of another origin cannot change anything with credentials that the browser stores. */
import { describe, expect, test } from "vitest";
import { password, startTestService } from "../support/service.ts";

const app = "https://app.example.com";
const plain = await startTestService();
const listed = await startTestService({ CORS_ORIGINS: app }, plain.databaseUrl);
const open = await startTestService({ CORS_ORIGINS: "*" }, plain.databaseUrl);
const behindProxy = await startTestService(
  { PUBLIC_URL: "https://auth.example.com", TRUST_PROXY: "1" },
  plain.databaseUrl,
);
await plain.register("miguel");
const basic: [string, string] = ["miguel", password];

const statusOf = async (service: typeof plain, headers: Record<string, string>) =>
  (await service.send("POST", "/api/sessions", { basic, headers })).status;

const crossSite = { "sec-fetch-site": "cross-site" };
const form = { ...crossSite, "content-type": "application/x-www-form-urlencoded", origin: app };

test.each<[string, number, Record<string, string>]>([
  ["curl", 201, {}],
  ["the service's own page", 201, { "sec-fetch-site": "same-origin", origin: plain.url }],
  ["the service's own page, which sends no referrer", 201, { "sec-fetch-site": "same-origin", origin: "null" }],
  ["a person, by a bookmark", 201, { "sec-fetch-site": "none" }],
  ["the service's own page, in an old browser or without TLS", 201, { origin: plain.url }],
  ["another site", 403, { ...crossSite, origin: "https://evil.example.com" }],
  ["another site, which sends no referrer", 403, { ...crossSite, origin: "null" }],
  ["another site, without an origin", 403, crossSite],
  ["another site, with the service's origin", 403, { ...crossSite, origin: plain.url }],
  ["another subdomain or port", 403, { "sec-fetch-site": "same-site", origin: "http://127.0.0.1:1" }],
  ["what is not known yet", 403, { "sec-fetch-site": "near-site" }],
  ["two answers to one question", 403, { "sec-fetch-site": "same-origin, cross-site" }],
  ["another site, in an old browser or without TLS", 403, { origin: "https://evil.example.com" }],
  ["a page without an origin, in an old browser or without TLS", 403, { origin: "null" }],
  ["another port, in an old browser or without TLS", 403, { origin: "http://127.0.0.1:1" }],
  ["a site whose name begins like the service's", 403, { origin: `${plain.url}.example.com` }],
])("a request from %s gets %i", async (_name, status, headers) => {
  expect(await statusOf(plain, headers)).toBe(status);
});

describe("CORS_ORIGINS", () => {
  test("accepts the listed origins and no others", async () => {
    expect(await statusOf(listed, { ...crossSite, origin: app })).toBe(201);
    expect(await statusOf(listed, { "sec-fetch-site": "same-site", origin: app })).toBe(201);
    expect(await statusOf(listed, { origin: app })).toBe(201);
    expect(await statusOf(listed, form)).toBe(201);
    for (const origin of ["null", "https://evil.example.com", `${app}.evil.example.com`, "http://app.example.com"]) {
      expect(await statusOf(listed, { ...crossSite, origin }), origin).toBe(403);
    }
    expect(await statusOf(listed, crossSite)).toBe(403);
  });

  test("as * accepts requests that need a preflight, but no form", async () => {
    for (const headers of [form, { ...form, origin: "null" }, { ...crossSite, origin: app }]) {
      const answer = await open.send("POST", "/api/sessions", { basic, headers });
      expect(answer).toMatchObject({ status: 403, problem: "cross-site-request" });
      expect(answer.json.detail).toContain("application/json");
    }
    for (const type of ["text/plain; x=application/json", "multipart/form-data", "application/jsonp"]) {
      expect(await statusOf(open, { ...form, "content-type": type }), type).toBe(403);
    }
    expect(await statusOf(open, { ...form, "content-type": "application/json" })).toBe(201);
    const bearer = await open.token("miguel");
    const answer = await open.send("DELETE", "/api/token", { bearer, headers: { ...crossSite, origin: app } });
    expect(answer.status).toBe(204);
    // Browsers reject this response to a request with stored credentials.
    const preflight = { origin: app, "access-control-request-method": "POST" };
    const allowed = await fetch(`${open.url}/api/sessions`, { method: "OPTIONS", headers: preflight });
    expect(allowed.headers.get("access-control-allow-origin")).toBe("*");
    expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
  });
});

test("behind a proxy the service's origin is PUBLIC_URL, or what the proxy forwards", async () => {
  expect(await statusOf(behindProxy, { origin: "https://auth.example.com" })).toBe(201);
  const forwarded = { "x-forwarded-for": "192.0.2.1", "x-forwarded-host": "login.example.com" };
  expect(await statusOf(behindProxy, { ...forwarded, origin: "https://login.example.com" })).toBe(201);
  expect(await statusOf(behindProxy, { ...forwarded, origin: "https://evil.example.com" })).toBe(403);
  expect(await statusOf(plain, { ...forwarded, origin: "https://login.example.com" })).toBe(403);
});

test("safe requests are served: only the service's own pages can read the response", async () => {
  const headers = { ...crossSite, origin: "https://evil.example.com" };
  const answer = await plain.send("GET", "/api/resource", { basic, headers });
  expect(answer.status).toBe(200);
  expect(answer.header("cross-origin-resource-policy")).toBe("same-origin");
  expect(answer.header("access-control-allow-origin")).toBeUndefined();
});

describe("the Basic challenge", () => {
  const challengesFor = async (target: string, destination: string) => {
    const answer = await plain.send("GET", target, { headers: { "sec-fetch-dest": destination } });
    expect(answer.status).toBe(401);
    return answer.headers["www-authenticate"]?.map((challenge) => challenge.split(" ")[0]);
  };

  test("is sent to those who open the URL themselves", async () => {
    expect(await challengesFor("/api/resource", "document")).toEqual(["Basic", "Bearer"]);
    expect(await challengesFor("/api/token", "document")).toEqual(["Basic"]);
  });

  // A page can request any of these, and the browser would open its login dialog.
  test.each([
    "empty",
    "iframe",
    "frame",
    "image",
    "script",
    "style",
    "object",
    "embed",
    "video",
    "worker",
    "what comes next",
  ])("is left out for %s", async (destination) => {
    expect(await challengesFor("/api/resource", destination)).toEqual(["Bearer"]);
    expect(await challengesFor("/api/token", destination)).toEqual(["Password"]);
  });
});
