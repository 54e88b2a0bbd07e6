import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import express, { type ErrorRequestHandler } from "express";
import { expect, test } from "vitest";
import { loadContract } from "../../src/openapi/contract.ts";
import { requestValidator } from "../../src/openapi/validation.ts";
import { Problem } from "../../src/problems/problems.ts";
import { listen } from "../support/ports.ts";
import { password, startTestService } from "../support/service.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const service = await startTestService();
const basic: [string, string] = [(await service.register()).username, password];

const unusual = [
  ...["", "1e400", "-1e400", "1e2", "0x10", "0b1", "0o7", "01", "00", "+5", "%205", "5%20", "%2B5", "5.0", "5.", ".5"],
  ...["-0", "%EF%BC%95", "1_0", "1,0", "NaN", "Infinity", "null", "true", "%09" + "5", "5%0A", "5%00", "%D9%A5"],
  ...["9007199254740993", "99999999999999999999", `1${"0".repeat(400)}`],
];

test.each(unusual)("GET /api/sessions?limit=%s is a 400 that names the parameter", async (value) => {
  const answer = await service.send("GET", `/api/sessions?limit=${value}`, { basic });
  expect(answer).toMatchObject({ status: 400, problem: "invalid-request" });
  expect(answer.json.errors).toMatchObject([{ parameter: "limit" }]);
});

test.each(["limit[]=5", "limit%5B%5D=5", "limit=5&limit=5", "limit[a]=5", "LIMIT=5"])(
  "GET /api/sessions?%s is a 400",
  async (query) => {
    expect((await service.send("GET", `/api/sessions?${query}`, { basic })).status).toBe(400);
  },
);

test.each(["1", "100", "%35"])("GET /api/sessions?limit=%s is a 200", async (value) => {
  expect((await service.send("GET", `/api/sessions?limit=${value}`, { basic })).status).toBe(200);
});

/** The operation listSessions with more parameters, behind the service's own validator. */
const more = `
        - { name: ratio, in: query, schema: { type: number, minimum: -10, maximum: 10 } }
        - { name: all, in: query, schema: { type: [boolean, 'null'] } }
        - { name: page, in: query, schema: { $ref: '#/components/schemas/PageNumber' } }
        - { name: many, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: text, in: query, schema: { type: string } }
        - { name: X-Depth, in: header, schema: { type: integer } }
        - { name: size, in: cookie, schema: { type: integer } }`;
const app = express();
const folder = await temporaryFolder();
const text = readFileSync("openapi.yaml", "utf8")
  .replace(/(operationId: listSessions[\s\S]*?parameters:)/, `$1${more}`)
  .replace("\n  schemas:\n", "\n  schemas:\n    PageNumber: { allOf: [{ type: integer, minimum: 1 }] }\n");
writeFileSync(join(folder, "openapi.yaml"), text);
const contract = await loadContract(join(folder, "openapi.yaml"), undefined);
const validate = requestValidator(contract);
const operation = contract.operations.find(({ id }) => id === "listSessions");
if (!operation) throw new Error("no operation");
app.get("/api/sessions", async (request, response) => {
  await validate(operation, request, response);
  response.status(200).end();
});
const refuse: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(error instanceof Problem ? error.status : 500).end();
};
app.use(refuse);
const url = `http://127.0.0.1:${await listen(createServer(app))}/api/sessions`;

const integers = ["1e1", "0x1", "01", "1.0", "%201", "-0", "1e400", "9007199254740993"];
const wrong: [string, Record<string, string>][] = [
  ...integers.map((value): [string, Record<string, string>] => [`page=${value}`, {}]),
  ...["1e0", "0x1", "01.5", "1.50", "-0", "-0.0", ".5", "5.", "1e400", "%201"].map(
    (value): [string, Record<string, string>] => [`ratio=${value}`, {}],
  ),
  ...["1", "0", "TRUE", "yes", "", "%20true"].map((value): [string, Record<string, string>] => [`all=${value}`, {}]),
  ["many=1,0x2", {}],
  ["many=1,,2", {}],
  ["", { "x-depth": "1e2" }],
  ["", { "x-depth": "1e400" }],
  ["", { "x-depth": "0x10" }],
  ["", { cookie: "other=1; size=1e2" }],
  ["", { cookie: "size=%201" }],
];
test.each(wrong)("?%s with headers %j is a 400", async (query, headers) => {
  expect((await fetch(`${url}?${query}`, { headers })).status).toBe(400);
});

const right: [string, Record<string, string>][] = [
  ["page=1&ratio=-0.5&all=true&many=1,2&text=0x10", { "x-depth": "10", cookie: "size=7" }],
  ["ratio=10&all=false&text=1e400", { "x-depth": "-3" }],
];
test.each(right)("?%s with headers %j is a 200", async (query, headers) => {
  expect((await fetch(`${url}?${query}`, { headers })).status).toBe(200);
});

test.each(['{"a":[1,{"b":1e400}]}', '{"a":[1,{"b":-9007199254740993}]}'])(
  "a number of a body that JavaScript does not have is a 400 that says where it is: %s",
  async (body) => {
    const answer = await service.send("POST", "/api/users", { body, headers: { "content-type": "application/json" } });
    expect(answer.status).toBe(400);
    expect(answer.json.errors).toEqual([{ pointer: "#/a/1/b", detail: expect.stringContaining("is not a number") }]);
  },
);
