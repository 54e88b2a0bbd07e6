/** The index is served at `/` and at `/api`, which the message of a start names. */
import { expect, test } from "vitest";
import { describeOperation, each } from "../support/describeOperation.ts";
import { startTestService } from "../support/service.ts";

const service = await startTestService();
const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

for (const [id, target] of [
  ["getIndex", "/"],
  ["getApiIndex", "/api"],
] as const) {
  describeOperation(id, {
    service,
    request: () => ({}),
    cases: {
      200: {
        ...each<[string, string | undefined, string]>(
          "%s",
          [
            ["as JSON without Accept", undefined, "application/json"],
            ["as JSON to curl", "*/*", "application/json"],
            ["as JSON to a program", "application/json", "application/json"],
            ["as HTML to a browser", browser, "text/html"],
            ["as JSON where it is preferred", "application/json;q=0.5, text/html;q=0.4", "application/json"],
            ["as HTML where JSON is excluded", "application/json;q=0, */*", "text/html"],
          ],
          async (_label, accept, type) => {
            const headers = accept === undefined ? {} : { accept };
            const answer = await service.send("GET", target, { headers });
            expect(answer.status).toBe(200);
            expect(answer.header("content-type")).toBe(`${type}; charset=utf-8`);
            expect(answer.header("vary")).toBe("Accept");
            expect(answer.header("content-security-policy")).toContain("script-src 'none'");
            const head = await service.send("HEAD", target, { headers });
            expect(head.header("content-type")).toBe(answer.header("content-type"));
            expect(head.header("content-length")).toBe(String(Buffer.byteLength(answer.text)));
          },
        ),
        "with links to paths of the contract only": async () => {
          const { json } = await service.send("GET", target);
          const links = Object.entries(json as Record<string, string>).filter(([name]) => name !== "name");
          const expected = ["documentation", "openapi", "users", "token"];
          expect(links.map(([name]) => name)).toEqual(expect.arrayContaining(expected));
          for (const [name, link] of links) expect((await service.send("OPTIONS", link)).status, name).toBe(405);
          const { text } = await service.send("GET", target, { headers: { accept: browser } });
          const hrefs = [...text.matchAll(/href="([^"]+)"/g)].map(([, href = ""]) => href);
          expect(hrefs).toContain("docs");
          for (const href of hrefs) {
            const { pathname } = new URL(href, service.url + target);
            expect((await service.send("GET", pathname)).status, href).toBe(200);
          }
        },
        "without links to the documentation where DOCUMENTATION is off": async () => {
          const without = await startTestService({ DOCUMENTATION: "off" }, service.databaseUrl);
          const { json } = await without.send("GET", target);
          expect(json).not.toHaveProperty("documentation");
          expect(json).not.toHaveProperty("openapi");
          const { text } = await without.send("GET", target, { headers: { accept: browser } });
          expect(text).not.toMatch(/docs|openapi/);
          expect(text).toContain("/api/users");
        },
        "to a script of another origin, and Vary names both headers that it depends on": async () => {
          const origin = "https://app.example.com";
          const withCors = await startTestService({ CORS_ORIGINS: origin }, service.databaseUrl);
          const answer = await withCors.send("GET", target, { headers: { origin } });
          expect(answer.header("vary")).toBe("Origin, Accept");
        },
      },
    },
  });
}

test("with a path in PUBLIC_URL, links begin with that path, and requests succeed with and without it", async () => {
  const below = await startTestService({ PUBLIC_URL: "https://example.com/auth" }, service.databaseUrl);
  // `send` checks against the contract, whose paths have no prefix.
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
