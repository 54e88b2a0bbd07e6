/**
 * Requests made of the contract, some thousand of them, of one seed, so that the same are sent each time. More, and
 * others: `npm run fuzz`. The fuzzer is tried, too, on services with a fault; test/faults/fuzzer.test.ts has more of them.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type Document, parseDocument } from "yaml";
import { readArguments, UsageError, usage } from "../../fuzz/arguments.ts";
import { type Api, readApi } from "../../fuzz/contract/operations.ts";
import { type Failure, fuzz } from "../../fuzz/run.ts";
import { startFuzzedService } from "../../fuzz/service.ts";
import { findInvalidRows } from "../../fuzz/storedRows.ts";
import { afterTest } from "../support/afterTest.ts";
import { createDatabase } from "../support/service.ts";

const databaseUrl = await createDatabase();
// Estimating random passwords takes most of the time: test/faults/fuzzer.test.ts does it.
const service = await startFuzzedService(databaseUrl, { PASSWORD_BLOCKLIST: "off" });
afterTest(service.close);
const api = readApi("openapi.yaml");

test("whatever is sent, the answer is declared, and nobody learns or may do what they should not", {
  timeout: 120_000,
}, async () => {
  const settings = { seed: 1, requests: 3000, promises: [] };
  const { failure, users, requests, statuses } = await fuzz({ api, ...service, ...settings });
  expect(failure, failure?.what).toBeUndefined();
  expect(requests).toBeGreaterThanOrEqual(3000);
  for (const { id } of api.operations) {
    const successes = [...(statuses.get(id)?.keys() ?? [])].filter((status) => status < 300);
    expect(successes.length, id).toBeGreaterThan(0);
  }
  expect(await findInvalidRows(databaseUrl, users)).toEqual([]);
});

/** What a service with a fault does: it answers something else, or says something else than it was about to. */
type Fault = { instead?: (request: string) => string | undefined; after?: (request: string, answer: string) => string };

/** The service behind a fault, byte by byte. @returns where it listens */
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
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTest(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The contract, saying something else than what is served. */
async function contractWith(change: (contract: Document) => unknown): Promise<Api> {
  const contract = parseDocument(await readFile("openapi.yaml", "utf8"));
  expect(change(contract)).not.toBe(false);
  const folder = await mkdtemp(join(tmpdir(), "latchkey-fuzz-"));
  await writeFile(join(folder, "openapi.yaml"), contract.toString());
  const changed = readApi(join(folder, "openapi.yaml"));
  await rm(folder, { recursive: true });
  return changed;
}

/** An answer with more in its body. */
function withMember(answer: string, member: string): string {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  const longer = body.replace("{", `{${member},`);
  return `${head.replace(/content-length: \d+/i, `Content-Length: ${longer.length}`)}\r\n\r\n${longer}`;
}

const passwordOf = (request: string) =>
  Buffer.from(/Basic ([\w+/]+)/.exec(request)?.[1] ?? "", "base64")
    .toString()
    .split(":")[1] ?? "";

/** One seed after the other, so that the same one finds it each time. */
const findable = { seed: 1, requests: 3000, concurrency: 1, promises: [] };

const countOfRequests = ({ curl }: Failure) => curl.filter((line) => line.includes("curl -sg")).length;

describe("a fault is found, and shown in as many requests as it takes", { timeout: 60_000 }, () => {
  const faults: [string, Fault, { what: RegExp; requests: number }][] = [
    [
      "a 500",
      {
        after: (request, answer) => (/^POST \/api\/sessions/.test(request) ? answer.replace(" 201 ", " 500 ") : answer),
      },
      { what: /^POST \/api\/sessions: a fault of the service: 500/, requests: 2 },
    ],
    [
      "a password that is said back",
      {
        after: (request, answer) =>
          / 401 /.test(answer) && /^\w{12,}$/.test(passwordOf(request))
            ? withMember(answer, `"detail":"not ${passwordOf(request)}"`)
            : answer,
      },
      { what: /a secret is said back/, requests: 3 },
    ],
    [
      "a token that still works although it was revoked",
      {
        instead: (request) =>
          /^DELETE \/api\/token HTTP[\s\S]*Bearer [\w-]+\.[\w-]+\.[\w-]+\r/.test(request)
            ? "HTTP/1.1 204 No Content\r\nX-Request-Id: 7f5cbb39-8c11-4d31-a2cb-0a1c9f6f8b1e\r\nCache-Control: no-store\r\n\r\n"
            : undefined,
      },
      { what: /a stranger was let in/, requests: 4 },
    ],
    [
      "an answer about somebody else",
      {
        after: (request, answer) =>
          /^GET \/api\/users\/me/.test(request) ? answer.replace(/"username":"./, '"username":"~') : answer,
      },
      { what: /^GET \/api\/users\/me: somebody else's data/, requests: 2 },
    ],
  ];

  test.each(faults)("%s", async (_name, fault, { what, requests }) => {
    const url = await startFaulty(fault);
    const { failure } = await fuzz({ ...service, api, url, ...findable });
    expect(failure?.what).toMatch(what);
    expect(countOfRequests(failure as Failure), failure?.curl.join("\n")).toBeLessThanOrEqual(requests);
  });

  const contracts: [string, (contract: Document) => unknown, { what: RegExp; requests: number }][] = [
    [
      "a status that is not declared",
      (contract) => contract.deleteIn(["paths", "/api/users", "post", "responses", "409"]),
      { what: /409 is not declared/, requests: 2 },
    ],
    [
      "a member that is not declared",
      (contract) => {
        contract.setIn(["components", "schemas", "User", "required"], ["id", "username"]);
        return contract.deleteIn(["components", "schemas", "User", "properties", "created_at"]);
      },
      { what: /must NOT have additional properties/, requests: 2 },
    ],
    [
      "an operation that nobody guards",
      (contract) => contract.setIn(["paths", "/livez", "get", "security"], [{ bearerAuth: [] }]),
      { what: /^GET \/livez: a stranger was let in/, requests: 1 },
    ],
  ];

  test.each(contracts)("%s", async (_name, change, { what, requests }) => {
    const changed = await contractWith(change);
    const { failure } = await fuzz({ ...service, api: changed, ...findable });
    expect(failure?.what).toMatch(what);
    expect(countOfRequests(failure as Failure), failure?.curl.join("\n")).toBeLessThanOrEqual(requests);
  });

  test("the seed and the path play the shown requests again, and so do the lines in a shell", async () => {
    const url = await startFaulty({
      after: (request, answer) => (/^GET \/api\/sessions/.test(request) ? answer.replace(" 200 ", " 500 ") : answer),
    });
    const first = await fuzz({ ...service, api, url, ...findable });
    const { seed, path, what, curl } = first.failure as Failure;
    const again = await fuzz({ ...service, api, url, seed, path, requests: 3000 });
    expect(again.failure).toMatchObject({ seed, path, what });
    expect(again.requests).toBe(countOfRequests(first.failure as Failure));
    const { stdout } = await promisify(execFile)("sh", ["-c", curl.map((line) => `${line}\n`).join("")]);
    expect(stdout).toContain('"sessions":[');
  });
});

describe("the command line", () => {
  const run = (...args: string[]) =>
    promisify(execFile)("node_modules/.bin/tsx", ["fuzz/main.ts", ...args]).then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ status: code, stdout, stderr }),
    );

  test("--help ends well, and what is not understood with a sentence and status 64", async () => {
    const [help, wrong] = await Promise.all([run("--help"), run("--sed", "1")]);
    expect(help).toEqual({ status: 0, stdout: usage, stderr: "" });
    expect(wrong).toEqual({ status: 64, stdout: "", stderr: "Unknown option '--sed'. See npm run fuzz -- --help.\n" });
  });

  test.each([
    [["--seed", "x"], "--seed is a whole number from 0 to 2147483647, not x."],
    [["--requests", "0"], "--requests is a whole number from 1 to 2147483647, not 0."],
    [["--path", "1"], "--path needs the --seed that it belongs to."],
    [["--url", "localhost"], "--url is such as http://127.0.0.1:8080, not localhost."],
    [["--promise", "world-peace"], "There is no promise world-peace. --help lists them."],
    [["once"], "Unexpected argument 'once'."],
  ])("%s is refused", (args, sentence) => {
    expect(() => readArguments(args)).toThrow(new UsageError(sentence));
  });
});
