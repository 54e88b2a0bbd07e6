/** The index is at `/`, and at `/api`, which the greeting of a start names. */
import { describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { refusesUnreadableForms, refusesUnsoundRequests } from "../support/sharedCases.ts";

const service = await startTestService();
const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

describe.each(["/", "/api"])("GET %s", (target) => {
  const request = { method: "GET", target, good: () => Promise.resolve({}) };

  test.each([
    ["without Accept", undefined, "application/json"],
    ["to curl", "*/*", "application/json"],
    ["to a program", "application/json", "application/json"],
    ["to a browser", browser, "text/html"],
    ["as is preferred", "application/json;q=0.5, text/html;q=0.4", "application/json"],
    ["as is allowed", "application/json;q=0, */*", "text/html"],
  ])("200 %s", async (_, accept, type) => {
    const answer = await service.send("GET", target, { headers: accept === undefined ? {} : { accept } });
    expect(answer.status).toBe(200);
    expect(answer.header("content-type")).toBe(`${type}; charset=utf-8`);
    expect(answer.header("vary")).toBe("Accept");
    expect(answer.header("content-security-policy")).toContain("script-src 'none'");
    const head = await service.send("HEAD", target, { headers: accept === undefined ? {} : { accept } });
    expect(head.header("content-type")).toBe(answer.header("content-type"));
    expect(head.header("content-length")).toBe(String(Buffer.byteLength(answer.text)));
  });

  test("every link leads to a path of the contract", async () => {
    const { json } = await service.send("GET", target);
    const links = Object.entries(json as Record<string, string>).filter(([name]) => name !== "name");
    expect(links.map(([name]) => name)).toEqual(expect.arrayContaining(["documentation", "openapi", "users", "token"]));
    for (const [name, link] of links) expect((await service.send("OPTIONS", link)).status, name).toBe(405);
    const { text } = await service.send("GET", target, { headers: { accept: browser } });
    const hrefs = [...text.matchAll(/href="([^"]+)"/g)].map(([, href = ""]) => href);
    expect(hrefs).toContain("docs");
    for (const href of hrefs) {
      const { pathname } = new URL(href, service.url + target);
      expect((await service.send("GET", pathname)).status, href).toBe(200);
    }
  });

  test("200 without links to the documentation, where DOCUMENTATION is off", async () => {
    const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
    const { json } = await without.send("GET", target);
    expect(json).not.toHaveProperty("documentation");
    expect(json).not.toHaveProperty("openapi");
    const { text } = await without.send("GET", target, { headers: { accept: browser } });
    expect(text).not.toMatch(/docs|openapi/);
    expect(text).toContain("/api/users");
  });

  test("a script of another origin gets it with both reasons why it may vary", async () => {
    const origin = "https://app.example.com";
    const withCors = await startTestService({ CORS_ORIGINS: origin }, service.databaseUrl);
    const answer = await withCors.send("GET", target, { headers: { origin } });
    expect(answer.header("vary")).toBe("Origin, Accept");
  });

  refusesUnsoundRequests(service, request);
  refusesUnreadableForms(service, request);
});

test("below a path of PUBLIC_URL links begin with it, and paths are found with and without it", async () => {
  const below = await startTestService({ PUBLIC_URL: "https://example.com/auth" }, service.databaseUrl);
  // Not by `send`, which knows the contract without a path.
  const read = async (path: string) => {
    const response = await fetch(below.url + path);
    return { status: response.status, json: (await response.json()) as Record<string, string> };
  };
  for (const target of ["/", "/api", "/auth", "/auth/", "/auth/api"])
    expect(await read(target)).toMatchObject({ status: 200, json: { users: "/auth/api/users" } });
  for (const target of ["/livez", "/auth/livez", "/auth/livez?"]) expect((await read(target)).status).toBe(200);
  for (const target of ["/authority", "/auth/auth/livez", "/nowhere"])
    expect(await read(target)).toMatchObject({ status: 404, json: { type: "/auth/problems/not-found" } });
  const ambiguous = await startTestService({ PUBLIC_URL: "https://example.com/api" }, service.databaseUrl);
  expect((await fetch(`${ambiguous.url}/api/resource`)).status).toBe(401);
});

test("a wrong method is a 405 at both", async () => {
  for (const target of ["/", "/api"]) {
    const answer = await service.send("POST", target, { json: {} });
    expect(answer).toMatchObject({ status: 405, problem: "method-not-allowed" });
    expect(answer.header("allow")).toBe("GET, HEAD");
  }
});
