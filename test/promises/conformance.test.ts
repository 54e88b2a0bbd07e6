/** Each kind of contract violation is detected, also by the running service according to CONTRACT_CHECK. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import express from "express";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadContract } from "../../src/openapi/contract.ts";
import { problemWriter } from "../../src/openapi/problemWriter.ts";
import { createResponseCheck, type ResponseCheckMode } from "../../src/openapi/responseCheck.ts";
import { createResponseValidator, type ReceivedResponse } from "../../src/openapi/responseValidator.ts";
import { Problem } from "../../src/problems/problems.ts";
import { createRequestContext, runInRequest } from "../../src/requestContext.ts";
import { createDatabase, password, startTestService } from "../support/service.ts";

const conformance = createResponseValidator(parse(await readFile("openapi.yaml", "utf8")));
const requestId = "7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e";
const json = (status: number, body: unknown, headers: Record<string, string[]> = {}): ReceivedResponse => ({
  status,
  headers: {
    "content-type": ["application/json; charset=utf-8"],
    "x-request-id": [requestId],
    "cache-control": ["no-store"],
    ...headers,
  },
  text: JSON.stringify(body),
});
const problem = (slug: string, status: number, headers: Record<string, string[]> = {}): ReceivedResponse =>
  json(
    status,
    { type: `/problems/${slug}`, title: "A title", status, instance: `urn:uuid:${requestId}` },
    { "content-type": ["application/problem+json"], ...headers },
  );
const good = json(200, { data: "Hello, miguel!" });
const challenge = { "www-authenticate": ['Basic realm="latchkey"'] };

describe("a declared response", () => {
  test.each<[string, string | undefined, string, ReceivedResponse]>([
    ["a success", "getResource", "GET", good],
    ["a problem", "getResource", "GET", problem("token-expired", 401, challenge)],
    ["without a body", "getResource", "HEAD", { ...good, text: "" }],
    ["beyond the contract", undefined, "GET", problem("not-found", 404)],
    ["to another method", undefined, "PATCH", problem("method-not-allowed", 405, { allow: ["GET"] })],
  ])("%s", (_name, operation, method, answer) => {
    expect(conformance(operation, method, answer)).toBeUndefined();
  });
});

describe("a response that violates the contract", () => {
  const { "x-request-id": _, ...unnamed } = good.headers;
  test.each<[string, string | undefined, ReceivedResponse]>([
    ["is not declared", "getResource", json(201, { data: "" })],
    ["is not declared", undefined, json(200, {})],
    ["is without X-Request-Id", "getResource", { ...good, headers: unnamed }],
    ["has a header X-Request-Id that is not as declared", "getResource", json(200, {}, { "x-request-id": ["7"] })],
    ["has a header Cache-Control that", "getResource", json(200, {}, { "cache-control": ["no-store", "public"] })],
    ["has the undeclared header x-powered-by", "getResource", json(200, {}, { "x-powered-by": ["Express"] })],
    ["is of type text/html", "getResource", { ...good, headers: { ...good.headers, "content-type": ["text/html"] } }],
    [
      "is of type undefined",
      "getResource",
      { ...good, headers: { ...unnamed, "x-request-id": [requestId] }, text: "" },
    ],
    ["is not JSON", "getResource", { ...good, text: "<html>" }],
    ["data must be string", "getResource", json(200, { data: 7 })],
    ["must NOT have additional properties", "getResource", json(200, { data: "", secret: "" })],
    ["type must be equal to one of", "issueToken", problem("token-expired", 401, challenge)],
    ["status must be equal to constant", "getUser", { ...problem("not-found", 401), status: 404 }],
    ["is without WWW-Authenticate", "getResource", problem("token-expired", 401)],
    ["is without Allow", undefined, problem("method-not-allowed", 405)],
    ["has a body", "revokeToken", { status: 204, headers: { ...unnamed, "x-request-id": [requestId] }, text: "done" }],
  ])("%s", (fault, operation, answer) => {
    if (fault === "is of type undefined" || fault === "has a body") delete answer.headers["content-type"];
    expect(conformance(operation, "GET", answer)).toContain(fault);
  });
});

describe("CONTRACT_CHECK", async () => {
  const databaseUrl = await createDatabase();
  const isFault = (line: string) => line.includes("breaks the contract");
  const ask = async (settings: Record<string, string>) => {
    const service = await startTestService({ ...settings, METRICS_PORT: "0" }, databaseUrl);
    const address = `${service.url}/api/users/me`;
    const authorization = `Basic ${Buffer.from(`miguel:${password}`).toString("base64")}`;
    const answer = await fetch(address, { headers: { authorization } });
    const faults = service.log.filter(isFault).map((line) => JSON.parse(line));
    const { url } = JSON.parse(service.log.find((line) => line.includes('"metrics"')) ?? "{}");
    const counted = /^latchkey_contract_faults_total (\d+)$/m.exec(await (await fetch(url)).text())?.[1];
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, faults, counted };
  };
  const service = await startTestService({}, databaseUrl);
  await service.register("miguel");
  // No handler writes this, but SQL can.
  await service.sql("UPDATE users SET created_at = '12026-01-01'");

  test("report logs a response that violates the contract, and sends it", async () => {
    const { status, body, faults, counted } = await ask({ CONTRACT_CHECK: "report", CONTRACT_CHECK_PERCENT: "100" });
    expect({ status, counted }).toEqual({ status: 200, counted: "1" });
    expect(body["username"]).toBe("miguel");
    expect(faults).toMatchObject([{ operation: "getCurrentUser", status: 200, level: 50 }]);
    expect(faults[0].fault).toContain("created_at must match format");
    expect(faults[0].fault).not.toContain("12026");
  });

  test("report checks the configured percentage", async () => {
    const service = await startTestService({ CONTRACT_CHECK: "report", CONTRACT_CHECK_PERCENT: "25" }, databaseUrl);
    const headers = { authorization: `Bearer ${await service.token("miguel")}` };
    for (let count = 0; count < 400; count += 1) await fetch(`${service.url}/api/users/me`, { headers });
    // 100 are expected, and the standard deviation is 9.
    const looked = service.log.filter(isFault).length;
    expect(looked).toBeGreaterThan(40);
    expect(looked).toBeLessThan(160);
  });

  test("enforce responds 500 instead", async () => {
    const { status, body, faults } = await ask({ CONTRACT_CHECK: "enforce" });
    expect({ status, type: body["type"] }).toEqual({ status: 500, type: "/problems/internal-error" });
    expect(faults).toHaveLength(1);
  });

  /** What a client of `issueToken` receives for a problem, and what the check reports. */
  async function answerTo(problem: Problem, mode: ResponseCheckMode) {
    const contract = await loadContract("openapi.yaml", undefined);
    const faults: string[] = [];
    const check = createResponseCheck(contract.document, mode, 100, ({ fault }) => faults.push(fault));
    const app = express().disable("x-powered-by");
    const writeProblem = problemWriter({ report: () => {}, check, transportHeaders: () => [] });
    const operation = contract.operations.find(({ id }) => id === "issueToken");
    app.use((_request, response) => {
      const context = createRequestContext(undefined, undefined);
      context.operation = operation;
      runInRequest(context, () => writeProblem(problem, response, operation));
    });
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await answer.json()).toMatchObject({ type: "/problems/internal-error", status: 500 });
    expect(answer.headers.get("www-authenticate")).toBeNull();
    server.close();
    return faults;
  }

  test("enforce responds 500 instead of a problem that the operation does not declare", async () => {
    const faults = await answerTo(new Problem("token-expired"), "enforce");
    expect(faults).toEqual([expect.stringContaining("type must be equal to one of")]);
  });

  test.each(["off", "enforce"] as const)("%s: a status that the operation does not declare is a 500", async (mode) => {
    expect(await answerTo(new Problem("username-taken"), mode)).toEqual([]);
  });

  test("off checks nothing", async () => {
    const { status, faults, counted } = await ask({ CONTRACT_CHECK: "off" });
    expect({ status, faults, counted }).toEqual({ status: 200, faults: [], counted: "0" });
  });
});
