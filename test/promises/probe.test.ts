/** `latchkey probe` finds each hole of a protected service, finds none where there is none, and changes nothing. */
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { probeService } from "../../src/cli/probe.ts";
import { audience, contract, type Hole, startLeakyService } from "../support/leakyService.ts";
import { listen } from "../support/ports.ts";
import { runProgram } from "../support/process.ts";
import { startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const latchkey = await startTestService();
const basic = await latchkey.administrator();
const [username, password] = basic;
const scopes = ["orders:read", "orders:write"].map((name) => ({ name, description: "" }));
await latchkey.send("POST", "/api/apis", { basic, json: { audience, name: "Orders", scopes } });
const folder = await temporaryFolder();
const contractFile = join(folder, "openapi.yaml");
await writeFile(contractFile, contract);

const limits = { wait: 0, maxRequests: 10_000, timeLimit: 60 };
const account = { issuer: new URL(latchkey.url), audience, username, password };

/** Probes a service with this hole. Returns the findings in short. */
async function probe(hole: Hole, options: Partial<Parameters<typeof probeService>[1]> = {}) {
  let offsetMs = 0;
  const url = await startLeakyService(latchkey, hole, () => Date.now() + offsetMs);
  const sleep = async (seconds: number) => {
    offsetMs += seconds * 1000;
  };
  const all = { contract: contractFile, ...limits, ...account, wait: 610, ...options };
  const { report, requests } = await probeService(new URL(url), all, sleep);
  const found = report.findings.map(({ check, outcome, request }) => `${check}: ${outcome} ${request}`);
  return { ...report, found, requests };
}

test("nothing gets through where there is no hole, and every check is made", async () => {
  const { found, skipped, operations, requests } = await probe("none");
  expect(found).toEqual([]);
  expect(skipped).toEqual([]);
  expect(operations).toBe(3);
  console.info(`requests of a probe of ${operations} operations: ${requests}`);
  expect(requests).toBeLessThan(240);
});

test.each<[Hole, string]>([
  ["forgotten operation", "no-credential: accepted GET /orders/7"],
  ["guarded handler that is not found", "no-credential: unclear GET /orders/7"],
  ["no signature check", "forged-token: accepted GET /orders"],
  ["alg none", "alg-none: accepted GET /orders"],
  ["embedded key", "forged-token: accepted GET /orders"],
  ["public key as secret", "public-key-as-secret: accepted GET /orders"],
  ["no exp check", "expired-token: accepted GET /orders"],
  ["no aud check", "other-audience: accepted GET /me"],
  ["no scope check", "missing-scope: accepted GET /orders"],
  ["no revocation check", "revoked-token: accepted GET /orders"],
  ["X-User", "identity-header: accepted GET /orders with X-User"],
  ["X_User", "identity-header: accepted GET /orders with X_User"],
  ["user of a header", "identity-header: accepted GET /me with a valid token and Latchkey-Username"],
  ["user of an alias", "identity-header: accepted GET /me with a valid token and Latchkey-User_Id"],
  ["scopes of a header", "identity-header: accepted GET /orders"],
  ["HEAD", "other-method: accepted HEAD /orders"],
  ["TRACE", "other-method: accepted TRACE /orders"],
  ["OPTIONS", "other-method: accepted OPTIONS /orders"],
  ["case and slash", "path-variant: accepted GET /ORDERS"],
  ["case and slash", "path-variant: accepted GET /orders/7/"],
  ["decoding router", "path-variant: accepted GET /%6frders"],
  ["normalizing router", "path-variant: accepted GET /orders/x/%2e%2e/7"],
  ["open prefix", "path-variant: accepted GET /health/%2e%2e/orders"],
  ["method override", "method-override: accepted GET /orders with X-HTTP-Method-Override"],
  ["method override after the check", "method-override: accepted OPTIONS /orders with X-HTTP-Method-Override"],
  ["X-Original-URL", "forwarded-request: accepted GET /orders with X-Original-URL"],
  ["X-Forwarded-For", "forwarded-address: accepted GET /orders with X-Forwarded-For"],
])("finds the hole “%s”: %s", async (hole, finding) => {
  const { found } = await probe(hole);
  expect(found.filter((one) => one.startsWith(finding))).not.toEqual([]);
  // Nothing else, unless it is possible by the same hole.
  const [check] = finding.split(":");
  const others = found.filter((one) => !one.startsWith(`${check}:`));
  if (hole !== "no signature check") expect(others).toEqual([]);
});

describe("methods that change something", () => {
  test("are not sent by default, and never with a valid credential", async () => {
    const seen: string[] = [];
    const origin = createServer((request, response) => {
      seen.push(`${request.method} ${request.headers.authorization === "Bearer key" ? "valid" : ""}`);
      response.writeHead(401).end();
    });
    const url = new URL(`http://127.0.0.1:${await listen(origin)}`);
    const options = { contract: contractFile, credential: "key", ...limits };
    await probeService(url, options);
    expect(seen).toContain("GET valid");
    expect(new Set(seen.map((one) => one.split(" ")[0]))).toEqual(
      new Set(["GET", "HEAD", "TRACE", "PROPFIND", "OPTIONS"]),
    );
    seen.length = 0;
    await probeService(url, { ...options, unsafeMethods: true });
    expect(seen).toContain("POST ");
    expect(new Set(seen.filter((one) => one.endsWith("valid")))).toEqual(new Set(["GET valid"]));
  });

  test("are tried with --unsafe-methods", async () => {
    const { found } = await probe("PATCH", { unsafeMethods: true });
    expect(found).toContain("other-method: accepted PATCH /orders");
    expect((await probe("none", { unsafeMethods: true })).found).toEqual([]);
  });
});

test("a redirect is not followed, and is no refusal", async () => {
  const paths = new Set<string>();
  const server = createServer(({ url = "" }, response) => {
    paths.add(url);
    response.writeHead(302, { Location: "/elsewhere" }).end();
  });
  const url = new URL(`http://127.0.0.1:${await listen(server)}`);
  const { report } = await probeService(url, { contract: contractFile, ...limits });
  expect(report.findings.map(({ check, outcome, status }) => [check, outcome, status])).toEqual(
    Array(3).fill(["no-credential", "unclear", 302]),
  );
  expect(paths).not.toContain("/elsewhere");
});

test("nothing gets through at Latchkey itself, also with methods that change something", {
  timeout: 60_000,
}, async () => {
  const url = new URL(latchkey.url);
  const options = { ...account, ...limits, audience: undefined, otherAudience: audience, wait: 610 };
  const sleep = async (seconds: number) => latchkey.advance(seconds);
  const { report, requests } = await probeService(url, { ...options, unsafeMethods: true }, sleep);
  expect(report.findings).toEqual([]);
  expect(report.skipped).toEqual([]);
  expect(report.operations).toBeGreaterThan(30);
  console.info(`requests of a probe of Latchkey: ${requests}`);
});

test("checks that say nothing are skipped, with the reason", async () => {
  const url = new URL(await startLeakyService(latchkey, "none", Date.now));
  const { report } = await probeService(url, { contract: contractFile, ...limits });
  expect(report.findings).toEqual([]);
  expect(report.skipped.map(({ check }) => check).sort()).toEqual([
    "expired-token",
    "missing-scope",
    "other-audience",
    "public-key-as-secret",
    "revoked-token",
  ]);
  const impatient = await probe("no exp check", { wait: 60 });
  expect(impatient.skipped).toEqual([{ check: "expired-token", reason: expect.stringContaining("--wait 610") }]);
  // The service rejects every token of Latchkey, because they are for another API.
  const mistaken = await probe("none", { audience: undefined });
  expect(mistaken.skipped).toHaveLength(4);
  expect(mistaken.skipped[0]?.reason).toContain("accepted no valid token");
});

test("the reason of a skipped check is true if an operation requires a scope", async () => {
  const open = `http://127.0.0.1:${await listen(createServer((_request, response) => response.writeHead(200).end()))}`;
  const options = { contract: contractFile, ...limits, ...account };
  const reason = "refused the request without a credential and accepted a valid token.";
  const { report } = await probeService(new URL(open), options);
  expect(report.skipped).toContainEqual({ check: "missing-scope", reason: `No operation ${reason}` });
  // `GET /me`, which requires no scope, is the only operation that refuses.
  const server = createServer(({ url, headers }, response) => {
    response.writeHead(url === "/me" && !headers.authorization ? 401 : 200).end();
  });
  const half = new URL(`http://127.0.0.1:${await listen(server)}`);
  const { skipped } = (await probeService(half, options)).report;
  const scoped = `No operation that requires a scope ${reason}`;
  expect(skipped).toContainEqual({ check: "missing-scope", reason: scoped });
  const file = join(folder, "noScopes.yaml");
  await writeFile(file, contract.replaceAll(/\[orders:\w+\]/g, "[]"));
  const without = (await probeService(half, { ...options, contract: file })).report.skipped;
  const none = "No operation that was probed requires a scope.";
  expect(without).toContainEqual({ check: "missing-scope", reason: none });
});

test("values and paths of any characters are sent, also halves of surrogate pairs", async () => {
  const url = new URL(await startLeakyService(latchkey, "none", Date.now));
  const file = join(folder, "characters.json");
  const parameter = { in: "query", name: "\ud83d", required: true, schema: { example: "\udd11" } };
  const security = [{ bearer: [] }];
  const paths = { "/orders/🔑": { get: { security, parameters: [parameter] } }, "/orders": { get: { security } } };
  const components = { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } };
  await writeFile(file, JSON.stringify({ openapi: "3.1.0", paths, components }));
  const { report } = await probeService(url, { contract: file, ...limits });
  expect(report).toMatchObject({ operations: 2, incomplete: undefined });
});

test("the probe leaves no session behind, however it ends", async () => {
  const sessions = async () => {
    const { json } = await latchkey.send("GET", "/api/sessions", { basic });
    return json["sessions"];
  };
  const before = await sessions();
  await probe("none", { audience: undefined });
  await expect(probe("none", { maxRequests: 50 })).rejects.toThrow("The limit");
  expect(await sessions()).toEqual(before);
});

test("limits end the probe, which is not a success", async () => {
  await expect(probe("none", { maxRequests: 50 })).rejects.toThrow("The limit of 50 requests ended the probe.");
  await expect(probe("none", { timeLimit: 0, wait: 0 })).rejects.toThrow("The limit of 0 seconds ended the probe.");
  const { found, incomplete } = await probe("forgotten operation", { maxRequests: 50 });
  expect(found).toEqual(["no-credential: accepted GET /orders/7"]);
  expect(incomplete).toContain("The limit of 50 requests");
});

describe("the command", () => {
  const run = async (args: string[], input?: string) => {
    const program = runProgram(["probe", ...args], {}, ".", input);
    return { status: await program.exit, stdout: program.stdout, stderr: program.stderr.join("\n") };
  };

  test("exits with 1 and prints what got through, without credentials; the contract is that of the service", async () => {
    const token = (await latchkey.send("GET", `/api/token?audience=${audience}`, { basic })).json.token;
    const origin = await startLeakyService(latchkey, "forgotten operation", Date.now);
    const options = ["--contract", contractFile, "--issuer", latchkey.url, "--credential-stdin"];
    const { status, stdout, stderr } = await run([origin, ...options], `${token}\n`);
    expect(status).toBe(1);
    expect(stdout.map((line) => JSON.parse(line))).toEqual([
      {
        operation: "GET /orders/{id}",
        check: "no-credential",
        outcome: "accepted",
        status: 200,
        request: "GET /orders/7",
      },
    ]);
    expect(stderr).toMatch(/Skipped revoked-token: .*--username/);
    expect(stderr).toMatch(/\d+ requests to 3 operations: 1 accepted, 0 unclear\.$/);
    for (const part of token.split(".")) expect(stdout.join("") + stderr).not.toContain(part);
  });

  test("exits with 0 if nothing got through, and finds the contract of the service", async () => {
    const { status, stdout, stderr } = await run(
      [latchkey.url, "--issuer", latchkey.url, "--username", username, "--password-stdin"],
      password,
    );
    expect({ status, stdout }).toEqual({ status: 0, stdout: [] });
    expect(stderr).toContain("nothing got through.");
    expect(stderr).not.toContain(password);
  });

  test.each([
    ["a wrong URL", ["ftp://x"], 64, "It must be a URL"],
    ["a URL with credentials", ["http://a:secret@127.0.0.1"], 64, "It must be a URL"],
    ["no issuer", ["http://127.0.0.1:1", "--username", "x", "--password-stdin"], 64, "Use --issuer"],
    ["a missing file", ["http://127.0.0.1:1", "--contract", "nowhere.yaml"], 65, "ENOENT"],
    ["no service", ["http://127.0.0.1:1"], 69, "http://127.0.0.1:1 does not respond."],
  ])("exits for %s", async (_name, args, status, message) => {
    const result = await run(args, "");
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
    expect(result.stderr).not.toContain("secret");
  });

  test("exits with 64 if the service has no contract, and with 69 if none of the operations exist", async () => {
    const server = createServer((_request, response) => response.writeHead(404).end());
    const origin = `http://127.0.0.1:${await listen(server)}`;
    expect(await run([origin])).toMatchObject({ status: 64, stderr: expect.stringContaining("Use --contract FILE.") });
    const without = await run([origin, "--contract", contractFile]);
    expect(without).toMatchObject({ status: 69, stderr: expect.stringContaining("none of these operations") });
  });
});
