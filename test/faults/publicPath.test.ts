/** With a path in `PUBLIC_URL` every link works: behind nginx that strips the path or does not, and without a proxy. */
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { createLatchkeyClient, slugOf } from "../../packages/client/src/index.ts";
import { problems } from "../../src/problems/catalogue.ts";
import { answerChecker } from "../support/answers.ts";
import { startBrowser, visit } from "../support/browser.ts";
import { createClient } from "../support/client.ts";
import { startNginx } from "../support/nginx.ts";
import { freePort } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";

const browser = await startBrowser();

/** @returns the URL of an nginx that serves the service at `/auth` */
async function below(path: string, strips: boolean) {
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}${path}`;
  const service = await startTestService({ PUBLIC_URL: publicUrl, TRUST_PROXY: "loopback" });
  await startNginx(
    `server {
       listen 127.0.0.1:${port};
       location ${path}/ {
         proxy_pass ${service.url}${strips ? "/" : ""};
         proxy_set_header Host $http_host;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
       }
     }`,
    port,
  );
  return { service, publicUrl };
}

/** Follows every link of the service, as a client at `url` sees it. */
async function checkLinks(url: string, path: string): Promise<void> {
  const origin = new URL(url).origin;
  const follow = async (link: string, from: string) => {
    const { status } = await fetch(new URL(link, from));
    expect({ link, from, status }).toEqual({ link, from, status: 200 });
  };
  const contract = (await (await fetch(`${url}/openapi.json`)).json()) as Parameters<typeof answerChecker>[0];
  const check = answerChecker(contract);
  /** Validates the response against the contract that the service publishes. */
  const send = async (method: string, target: string, headers: Record<string, string> = {}, body?: string) => {
    const response = await fetch(url + target, { method, headers, ...(body !== undefined && { body }) });
    const answer = { status: response.status, headers: {} as Record<string, string[]>, text: await response.text() };
    for (const [name, value] of response.headers) answer.headers[name] = [value];
    delete answer.headers["www-authenticate"]; // fetch joins several into one
    if (response.status !== 401) check(method, target, answer);
    return { ...answer, json: JSON.parse(answer.text || "{}"), url: response.url };
  };

  // Problems of the app: unknown path, wrong method, invalid, no credentials.
  const json = { "content-type": "application/json" };
  for (const [slug, answer] of [
    ["not-found", await send("GET", "/nowhere")],
    ["method-not-allowed", await send("PATCH", "/api/users")],
    ["invalid-request", await send("POST", "/api/users", json, "{}")],
    ["authentication-required", await send("GET", "/api/resource")],
  ] as const) {
    expect(answer.json.type).toBe(`${path}/problems/${slug}`);
    await follow(answer.json.type, answer.url);
  }
  const missing = await send("GET", "/nowhere");
  for (const [link = ""] of missing.json.detail.matchAll(/\/\S*(?:docs|yaml)/g)) await follow(link, origin);

  // The published contract.
  const { Problem } = contract.components["schemas"] as { Problem: { properties: { type: { enum: string[] } } } };
  const types = Problem.properties.type.enum;
  const expected = Object.keys(problems).map((slug) => `${path}/problems/${slug}`);
  expect(types.toSorted()).toEqual(expected.toSorted());
  const yaml = parse(await (await fetch(`${url}/openapi.yaml`)).text());
  expect(yaml).toEqual(contract);
  expect(Object.keys(contract.paths)).toContain("/problems/{slug}");

  // The index, as HTML and JSON, at both paths.
  for (const target of ["/", "/api"]) {
    const { name: _, ...links } = (await send("GET", target)).json;
    for (const part of ["documentation", "openapi", "jwks", "readiness"]) await follow(links[part], url + target);
    const page = await fetch(url + target, { headers: { accept: "text/html" } });
    const hrefs = [...(await page.text()).matchAll(/href="([^"]+)"/g)].map(([, href = ""]) => href);
    expect(hrefs).toHaveLength(4);
    for (const href of hrefs) await follow(href, page.url);
  }
}

/** The links of a page, resolved as in a browser. */
async function checkPages(url: string): Promise<void> {
  const { page, complaints } = await visit(browser, `${url}/docs`);
  const hrefs = async () => {
    const found = await page
      .locator("a[href]")
      .evaluateAll((all) => all.map((link) => link.getAttribute("href") ?? ""));
    return found.map((href) => new URL(href, page.url()).href.replace(/#.*/, ""));
  };
  const links = new Set(await hrefs());
  await page.goto(`${url}/problems/token-expired`);
  for (const link of await hrefs()) links.add(link);
  const own = [...links].filter((link) => link.startsWith(new URL(url).origin));
  expect(own).toEqual(expect.arrayContaining([`${url}/docs`]));
  for (const link of own) expect((await page.request.get(link)).status(), link).toBe(200);
  expect(complaints).toEqual([]);
}

test.each([
  ["that strips the path", true],
  ["that passes the path on", false],
])("behind nginx %s", async (_, strips) => {
  const { service, publicUrl } = await below("/auth", strips);
  await checkLinks(publicUrl, "/auth");
  await checkPages(publicUrl);

  const registered = await fetch(`${publicUrl}/api/users`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username: "miguel", password }),
  });
  const location = registered.headers.get("location") ?? "";
  const headers = { authorization: `Basic ${btoa(`miguel:${password}`)}` };
  expect((await fetch(new URL(location, registered.url), { headers })).status).toBe(200);

  // The client is generated from the contract without the path prefix.
  const client = createLatchkeyClient({ baseUrl: publicUrl });
  const { error, response } = await client.signIn("miguel", "not the password");
  expect(error?.type).toBe("/problems/invalid-credentials");
  expect(error && slugOf(error)).toBe("invalid-credentials");
  expect(response.url).toBe(`${publicUrl}/api/sessions`);
  expect((await client.signIn("miguel", password)).response.status).toBe(201);
  expect((await client.GET("/api/resource")).data?.data).toBe("Hello, miguel!");

  // Without the proxy.
  await checkLinks(`${service.url}/auth`, "/auth");
  expect((await fetch(`${service.url}/auth`)).status).toBe(200);
  expect((await fetch(`${service.url}/authority`)).status).toBe(404);
  expect((await fetch(`${service.url}/auth/auth/livez`)).status).toBe(404);
  // Requests that Node's parser rejects have no path; their problems link to the same pages.
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname, () => socket.write("not HTTP\r\n\r\n"));
  const [, body = ""] = (await text(socket)).split("\r\n\r\n");
  expect(JSON.parse(body).type).toBe("/auth/problems/invalid-request");
});

test("behind nginx that strips a path that contract paths begin with", async () => {
  const { publicUrl } = await below("/api", true);
  await checkLinks(publicUrl, "/api");
});

test("openapi.yaml, from which clients are generated, has no path prefix", async () => {
  expect(await readFile("openapi.yaml", "utf8")).toContain("- /problems/invalid-request\n");
  const service = await startTestService({ PUBLIC_URL: "https://auth.example.com" });
  expect((await createClient(service.url)("GET", "/nowhere")).json.type).toBe("/problems/not-found");
});
