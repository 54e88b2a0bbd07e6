/** Every answer protects the browser that shows it, and says each thing once. */
import { expect, test } from "vitest";
import { password, startTestService } from "./support/service.ts";

const plain = await startTestService();
const withCors = await startTestService({ CORS_ORIGINS: "https://app.example.com" });
for (const service of [plain, withCors]) await service.register("miguel");
const basic: [string, string] = ["miguel", password];

/** Of OWASP's REST Security Cheat Sheet; helmet sets some more. */
const protective = {
  "content-security-policy": /default-src 'none'/,
  "strict-transport-security": /max-age=\d+/,
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
  expect(answer.headers["x-request-id"]).toHaveLength(1);
  for (const [name, values] of Object.entries(answer.headers)) {
    if (name !== "www-authenticate") expect(values, name).toHaveLength(1);
  }
}

/** It is no operation of the contract, and so not for the client that holds answers against it. */
async function preflight(target: string, headers: Record<string, string>) {
  const answer = await fetch(withCors.url + target, { method: "OPTIONS", headers });
  return {
    status: answer.status,
    headers: Object.fromEntries([...answer.headers].map(([name, value]) => [name, [value]])),
  };
}
