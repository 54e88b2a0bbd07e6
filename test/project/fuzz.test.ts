/**
 * The fuzzer finds nothing in the service, and finds what is wrong in a faulty one. Its seed is fixed; `npm run fuzz` sends
 * other requests, and test/faults/fuzzer.test.ts plants faults into the source.
 */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type Document, parseDocument } from "yaml";
import { readArguments, UsageError, usage } from "../../fuzz/arguments.ts";
import { type Api, readApi } from "../../fuzz/contract/operations.ts";
import { outdatedEdits } from "../../fuzz/plantedFaults/index.ts";
import { type Failure, fuzz } from "../../fuzz/run.ts";
import { startFuzzedService } from "../../fuzz/service.ts";
import { findInvalidRows } from "../../fuzz/storedRows.ts";
import { afterTest } from "../support/afterTest.ts";
import { listen } from "../support/ports.ts";
import { createDatabase } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const databaseUrl = await createDatabase();
// Without the slow estimates of random passwords, which test/faults/fuzzer.test.ts has.
const service = await startFuzzedService(databaseUrl, { PASSWORD_BLOCKLIST: "off" });
afterTest(service.close);
const api = readApi("openapi.yaml");

test("random requests find nothing wrong in any operation", {
  timeout: 240_000,
}, async () => {
  // Whether a rare operation succeeds depends on chance, so there are further runs until each has succeeded.
  const succeeded = new Set<string>();
  const users: Parameters<typeof findInvalidRows>[1] = [];
  for (let seed = 1; seed <= 10 && succeeded.size < api.operations.length; seed += 1) {
    const outcome = await fuzz({ api, ...service, seed, requests: 3000, promises: [] });
    expect(outcome.failure, outcome.failure?.what).toBeUndefined();
    expect(outcome.requests).toBeGreaterThanOrEqual(3000);
    users.push(...outcome.users);
    for (const [id, counts] of outcome.statuses)
      if ([...counts.keys()].some((status) => status < 300 || status === 303)) succeeded.add(id);
  }
  expect(api.operations.map(({ id }) => id).filter((id) => !succeeded.has(id))).toEqual([]);
  expect(await findInvalidRows(databaseUrl, users)).toEqual([]);
});

/** A faulty service sends something `instead` of a response, or changes the response `after` the real service sent it. */
type Fault = { instead?: (request: string) => string | undefined; after?: (request: string, answer: string) => string };

/** Starts a proxy that adds a fault to the service. Returns its origin. */
async function startFaulty({ instead, after }: Fault): Promise<string> {
  const server = createServer((client) => {
    const real = connect(Number(new URL(service.url).port), "127.0.0.1");
    let request = "";
    client.setEncoding("latin1").on("data", (text: string) => {
      request = text;
      const own = instead?.(request);
      if (own === undefined) real.write(text, "latin1");
      else client.write(own, "latin1");
    });
    real.setEncoding("latin1").on("data", (text: string) => client.write(after?.(request, text) ?? text, "latin1"));
    for (const [one, other] of [[client, real] as const, [real, client] as const]) {
      one.on("error", () => other.destroy()).on("close", () => other.end());
    }
  });
  return `http://127.0.0.1:${await listen(server)}`;
}

/** Returns a contract that differs from what is served. */
async function contractWith(change: (contract: Document) => unknown): Promise<Api> {
  const contract = parseDocument(await readFile("openapi.yaml", "utf8"));
  expect(change(contract)).not.toBe(false);
  const file = join(await temporaryFolder(), "openapi.yaml");
  await writeFile(file, contract.toString());
  return readApi(file);
}

/** Adds a member to the body of a response. */
function withMember(answer: string, member: string): string {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  const longer = body.replace("{", `{${member},`);
  return `${head.replace(/content-length: \d+/i, `Content-Length: ${longer.length}`)}\r\n\r\n${longer}`;
}

const passwordOf = (request: string) =>
  Buffer.from(/Basic ([\w+/]+)/.exec(request)?.[1] ?? "", "base64")
    .toString()
    .split(":")[1] ?? "";

/** One seed at a time, so that the same one detects a fault each time. */
const fixedSeed = { seed: 4, requests: 3000, concurrency: 1, promises: [] };

const countOfRequests = ({ curl }: Failure) => curl.filter((line) => line.includes("curl -sg")).length;

describe("a fault is detected and reported with few requests", { timeout: 60_000 }, () => {
  const faults: [string, Fault, { what: RegExp; requests: number }][] = [
    [
      "a 500",
      {
        after: (request, answer) => (/^POST \/api\/sessions/.test(request) ? answer.replace(" 201 ", " 500 ") : answer),
      },
      { what: /^POST \/api\/sessions: a server error: 500/, requests: 2 },
    ],
    [
      "a password in a response",
      {
        after: (request, answer) =>
          /^\w+ \/api\//.test(request) && / 401 /.test(answer) && /^\w{12,64}$/.test(passwordOf(request))
            ? withMember(answer, `"detail":"not ${passwordOf(request)}"`)
            : answer,
      },
      { what: /the response contains a secret/, requests: 3 },
    ],
    [
      "a revoked token that still works",
      {
        instead: (request) =>
          /^DELETE \/api\/token HTTP[\s\S]*Bearer [\w-]+\.[\w-]+\.[\w-]+\r/.test(request)
            ? "HTTP/1.1 204 No Content\r\nX-Request-Id: 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e\r\nCache-Control: no-store\r\n\r\n"
            : undefined,
      },
      { what: /a request was accepted without valid credentials/, requests: 4 },
    ],
    [
      "the data of another user",
      {
        after: (request, answer) =>
          /^GET \/api\/users\/me/.test(request) ? answer.replace(/"username":"./, '"username":"~') : answer,
      },
      { what: /^GET \/api\/users\/me: another user's data was returned/, requests: 2 },
    ],
  ];

  test.each(faults)("%s", async (_name, fault, { what, requests }) => {
    const url = await startFaulty(fault);
    const { failure } = await fuzz({ ...service, api, url, ...fixedSeed });
    expect(failure?.what).toMatch(what);
    expect(countOfRequests(failure as Failure), failure?.curl.join("\n")).toBeLessThanOrEqual(requests);
  });

  const contracts: [string, (contract: Document) => unknown, { what: RegExp; requests: number }][] = [
    [
      "an undeclared status",
      (contract) => contract.deleteIn(["paths", "/api/users/me", "get", "responses", "401"]),
      { what: /401 is not declared/, requests: 2 },
    ],
    [
      "an undeclared member",
      (contract) => {
        contract.setIn(["components", "schemas", "User", "required"], ["id", "username"]);
        return contract.deleteIn(["components", "schemas", "User", "properties", "created_at"]);
      },
      { what: /must NOT have additional properties/, requests: 2 },
    ],
    [
      "an operation without a guard",
      (contract) => contract.setIn(["paths", "/livez", "get", "security"], [{ bearerAuth: [] }]),
      { what: /^GET \/livez: a request was accepted without valid credentials/, requests: 1 },
    ],
  ];

  test.each(contracts)("%s", async (_name, change, { what, requests }) => {
    const changed = await contractWith(change);
    const { failure } = await fuzz({ ...service, api: changed, ...fixedSeed });
    expect(failure?.what).toMatch(what);
    expect(countOfRequests(failure as Failure), failure?.curl.join("\n")).toBeLessThanOrEqual(requests);
  });

  test("the seed and the path repeat the reported requests, and so do the curl commands", async () => {
    const url = await startFaulty({
      after: (request, answer) => (/^GET \/api\/sessions/.test(request) ? answer.replace(" 200 ", " 500 ") : answer),
    });
    const first = await fuzz({ ...service, api, url, ...fixedSeed });
    const { seed, path, what, curl } = first.failure as Failure;
    const again = await fuzz({ ...service, api, url, seed, path, requests: 3000 });
    expect(again.failure).toMatchObject({ seed, path, what });
    expect(again.requests).toBe(countOfRequests(first.failure as Failure));
    const { stdout } = await promisify(execFile)("sh", ["-c", curl.map((line) => `${line}\n`).join("")]);
    expect(stdout).toContain('"sessions":[');
  });
});

test("every planted fault applies to the present source", () => {
  expect(outdatedEdits()).toEqual([]);
});

describe("the command line", () => {
  const run = (...args: string[]) =>
    promisify(execFile)("node_modules/.bin/tsx", ["fuzz/main.ts", ...args]).then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ status: code, stdout, stderr }),
    );

  test("--help exits with 0, an invalid option with a message and 64", async () => {
    const [help, wrong] = await Promise.all([run("--help"), run("--sed", "1")]);
    expect(help).toEqual({ status: 0, stdout: usage, stderr: "" });
    expect(wrong).toEqual({ status: 64, stdout: "", stderr: "Unknown option '--sed'. See npm run fuzz -- --help.\n" });
  });

  test.each([
    [["--seed", "x"], "--seed must be a whole number from 0 to 2147483647, not x."],
    [["--requests", "0"], "--requests must be a whole number from 1 to 2147483647, not 0."],
    [["--path", "1"], "--path requires --seed."],
    [["--admin", "alice:secret"], "--admin requires --url."],
    [
      ["--url", "http://127.0.0.1:8080", "--admin", "alice"],
      "--admin must be a username and a password, separated by a colon.",
    ],
    [["--url", "localhost"], "--url must be an origin such as http://127.0.0.1:8080, not localhost."],
    [["--promise", "world-peace"], "Unknown promise world-peace."],
    [["once"], "Unexpected argument 'once'."],
  ])("%s is rejected", (args, sentence) => {
    expect(() => readArguments(args)).toThrow(new UsageError(sentence));
  });
});
