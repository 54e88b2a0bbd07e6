/** The Postman collection runs from top to bottom, and detects a response that the contract does not declare. */
import { readFile } from "node:fs/promises";
import { Ajv } from "ajv";
import newman from "newman";
import postman from "postman-collection";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { needsRights, readApi } from "../../fuzz/contract/operations.ts";
import { postmanCollection } from "../../scripts/postman.ts";
import { describeSettings } from "../../src/config/config.ts";
import { startTestService } from "../support/service.ts";

const openapi = await readFile("openapi.yaml", "utf8");
const file = "generated/postman.json";

/** The part of a collection that is read here. */
type Collection = { item: { name: string; item: Item[] }[] };
type Item = {
  id: string;
  event: { script: { exec: string[] } }[];
  request: Request;
  response: { originalRequest: Request }[];
};
type Request = { auth: { type: string }; body?: { raw?: string }; url: Address };
type Address = { raw: string; host: string[]; path: string[]; query: Parameter[]; variable: Parameter[] };
type Parameter = { key: string; value: string; disabled?: boolean };

type Responses = Record<string, { $ref?: string }>;
type Paths = { paths: Record<string, Record<string, { operationId: string; responses: Responses }>> };

/** The operations of a collection: not the pages for browsers, nor what needs the decision on a page. */
const operationsOf = (contract: string): string[] =>
  Object.values((parse(contract) as Paths).paths)
    .flatMap((item) => Object.values(item))
    .filter(
      ({ operationId, responses }) =>
        operationId === "submitAuthorizationRequest" || responses["400"]?.$ref !== "#/components/responses/BadPage",
    )
    .map(({ operationId }) => operationId)
    .filter((id) => !["getAuthorization", "decideAuthorization", "deleteGrant"].includes(id))
    .sort();
const itemsOf = ({ item }: Collection): Item[] => item.flatMap((folder) => folder.item);

/** Returns the requests that were answered, and the tests that failed. */
async function run(collection: string, baseUrl: string, { iterationCount = 1, administrator = ["", ""] } = {}) {
  const [adminUsername = "", adminPassword = ""] = administrator;
  const summary = await new Promise<newman.NewmanRunSummary>((resolve, reject) => {
    newman.run(
      {
        collection: JSON.parse(collection),
        envVar: Object.entries({ baseUrl, adminUsername, adminPassword }).map(([key, value]) => ({ key, value })),
        iterationCount,
        reporters: [],
        timeoutRequest: 15_000,
      },
      (error, summary) => (error ? reject(error) : resolve(summary)),
    );
  });
  const { failures } = summary.run;
  // A request of a script is listed like the item to which the script belongs. If the script skips the item, no test ran.
  const executions = summary.run.executions.filter(
    ({ item, assertions }, index, all) => assertions !== undefined && item.id !== all[index - 1]?.item.id,
  );
  return {
    answered: executions.filter(({ response }) => response !== undefined).map(({ item }) => item.id),
    passed: executions.flatMap(({ assertions }) => assertions ?? []).filter(({ error }) => !error).length,
    failed: failures.map(({ source, error }) => `${source?.id} ${error.test ?? error.message}`),
  };
}

/** Returns the contract with some texts replaced, each at its first occurrence. */
const changed = (changes: [from: string, to: string][]): string =>
  changes.reduce((text, [from, to]) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  }, openapi);

test("every operation is answered as declared, in repeated runs, within the default limits", {
  timeout: 60_000,
}, async () => {
  const limits = describeSettings().filter(({ name }) => name.startsWith("THROTTLE_"));
  const defaults = Object.fromEntries(limits.map(({ name, fallback }) => [name, fallback]));
  const service = await startTestService({ ...defaults, CLIENT_REGISTRATION: "on" });
  const administrator = await service.administrator();
  const collection = await readFile(file, "utf8");
  const { answered, passed, failed } = await run(collection, service.url, { iterationCount: 2, administrator });
  expect(failed).toEqual([]);
  const operations = operationsOf(openapi);
  expect(answered.slice(0, operations.length).toSorted()).toEqual(operations);
  expect(answered.slice(operations.length).toSorted()).toEqual(operations);
  expect(passed).toBe(answered.length * 3);
  expect(await service.sql("SELECT username FROM users")).toEqual([{ username: "administrator" }]);
  expect(await service.sql("SELECT name FROM roles ORDER BY name")).toEqual([
    { name: "administrator" },
    { name: "default" },
  ]);
  expect(await service.sql("SELECT audience FROM apis")).toEqual([]);
});

test("with the default settings and without an administrator, what needs more is skipped, and the others succeed", {
  timeout: 60_000,
}, async () => {
  const service = await startTestService();
  const { answered, failed } = await run(await readFile(file, "utf8"), service.url);
  expect(failed).toEqual([]);
  const isOfClient = ({ id }: { id: string }) => ["issueOAuthTokens", "startDeviceAuthorization"].includes(id);
  // An administrator registers the client that gets a token.
  const needsAdministrator = readApi("openapi.yaml").operations.filter((one) => needsRights(one) || isOfClient(one));
  expect(needsAdministrator.length).toBeGreaterThan(0);
  const skipped = [...needsAdministrator.map(({ id }) => id), "registerClient"];
  expect([...answered, ...skipped].toSorted()).toEqual(operationsOf(openapi));
  expect(await service.sql("SELECT username FROM users")).toEqual([]);
});

test("an undeclared response fails its own test only", { timeout: 60_000 }, async () => {
  const service = await startTestService({ CLIENT_REGISTRATION: "on" });
  const contract = changed([
    ["'200':\n          description: The public keys.", "'202':\n          description: The public keys."],
    [
      "description: A greeting.\n          headers:",
      "description: A greeting.\n          headers:\n            X-New: { required: true, schema: { type: string } }",
    ],
    ["required: [token, duration]", "required: [token, duration, colour]"],
    ["status: { type: string, const: ok,", "status: { type: string, const: well,"],
  ]);
  const { failed } = await run(await postmanCollection(parse(contract)), service.url);
  expect(failed).toEqual([
    "issueToken The body is as declared.",
    "getJwks 202: The public keys.",
    "getResource The headers are as declared.",
    "getLiveness The body is as declared.",
    "getReadiness The body is as declared.",
  ]);
});

test("it contains a new operation, with credentials, variables and tests", async () => {
  const orders = `paths:
  /api/devices:
    get:
      operationId: listDevices
      tags: [Users]
      summary: List devices
      security: [{ bearerAuth: [] }]
      responses: { '200': { description: The devices., headers: {} } }
  /api/orders/{id}:
    get:
      operationId: getOrder
      tags: [Resource]
      summary: Read an order
      security: [{ bearerAuth: [] }]
      parameters: [{ name: id, in: path, required: true, schema: { type: string }, example: first }]
      responses:
        '200':
          description: The order.
          headers: {}
          content: { application/json: { schema: { type: object }, examples: { one: { value: {} } } } }
  /api/orders:
    post:
      operationId: createOrder
      tags: [Resource]
      summary: Order
      security: [{ basicAuth: [] }]
      responses:
        '201':
          description: Ordered.
          headers: {}
          content:
            application/json:
              schema: { type: object, required: [id], properties: { id: { type: string } } }
              examples: { one: { value: { id: first } } }
`;
  const collection = JSON.parse(await postmanCollection(parse(changed([["paths:\n", orders]])))) as Collection;
  const resource = collection.item.find(({ name }) => name === "Resource")?.item ?? [];
  expect(resource.map(({ id, request }) => [id, request.auth.type])).toEqual([
    ["createOrder", "basic"],
    ["getOrder", "bearer"],
    ["getResource", "bearer"],
  ]);
  const [createOrder, getOrder] = resource;
  // Some requests that need a token come after the folder that issues it.
  expect(collection.item.at(-1)?.item[0]).toMatchObject({ id: "listDevices", request: { auth: { type: "bearer" } } });
  expect(createOrder?.event[0]?.script.exec.join("\n")).toContain("to.have.status(201)");
  expect(createOrder?.event[0]?.script.exec.join("\n")).toContain('set("order_id", pm.response.json().id)');
  expect(getOrder?.request).toMatchObject({
    url: { raw: "{{baseUrl}}/api/orders/:id", variable: [{ key: "id", value: "{{order_id}}" }] },
  });
});

test("it conforms to version 2.1 of Postman's format", async () => {
  const list = (items: object) => ({ type: "array", items });
  const closed = (properties: object, required: string[] = []) => ({
    type: "object",
    properties,
    required,
    additionalProperties: false,
  });
  const text = { type: "string" };
  const description = { anyOf: [text, closed({ content: text, type: text }, ["content"])] };
  const parameter = closed({ key: text, value: text, type: text, disabled: { type: "boolean" }, description }, ["key"]);
  const attribute = closed({ key: text, value: text, type: { const: "string" } }, ["key", "value", "type"]);
  const address = { raw: text, host: list(text), path: list(text), query: list(parameter), variable: list(parameter) };
  const url = closed(address, Object.keys(address));
  const body = {
    oneOf: [
      closed({ mode: { const: "raw" }, raw: text, options: { type: "object" } }),
      closed({ mode: { const: "urlencoded" }, urlencoded: list(parameter) }, ["mode", "urlencoded"]),
    ],
  };
  const auth = closed(
    { type: { enum: ["noauth", "basic", "bearer"] }, basic: list(attribute), bearer: list(attribute) },
    ["type"],
  );
  const request = (credentials: object) =>
    closed({ method: text, url, header: list(parameter), body, description, ...credentials }, ["method", "url"]);
  const response = closed({
    name: text,
    originalRequest: request({}),
    status: text,
    code: { type: "integer" },
    header: list(parameter),
    body: text,
    cookie: list({}),
    _postman_previewlanguage: text,
  });
  const script = closed({ type: { const: "text/javascript" }, exec: list(text) }, ["exec"]);
  const item = closed(
    {
      id: text,
      name: text,
      protocolProfileBehavior: closed({ followRedirects: { type: "boolean" } }),
      event: list(closed({ listen: { enum: ["test", "prerequest"] }, script }, ["listen", "script"])),
      request: request({ auth }),
      response: list(response),
    },
    ["id", "name", "event", "request", "response"],
  );
  const collection = closed(
    {
      info: closed({ _postman_id: text, name: text, description, schema: text }, ["name", "schema"]),
      item: list(closed({ name: text, description, item: list(item) }, ["name", "item"])),
      variable: list(closed({ key: text, value: text }, ["key", "value"])),
    },
    ["info", "item", "variable"],
  );
  const ajv = new Ajv();
  ajv.validate(collection, JSON.parse(await readFile(file, "utf8")));
  expect(ajv.errors).toBeNull();
});

test("the URL of each request and example is a string that equals its parts", async () => {
  const items = itemsOf(JSON.parse(await readFile(file, "utf8")));
  const urls = items.flatMap(({ request, response }) => [
    request.url,
    ...response.map(({ originalRequest }) => originalRequest.url),
  ]);
  for (const url of urls) {
    const { host, path, query } = new postman.Url(url.raw);
    expect(url.raw).toMatch(/^{{baseUrl}}\/[^{}]*$/);
    expect({ host, path }).toEqual({ host: url.host, path: url.path });
    const sent = url.query.filter(({ disabled }) => !disabled).map(({ key, value }) => [key, value]);
    expect(query.map(({ key, value }) => [key, value])).toEqual(sent);
    const named = url.path.filter((step) => step.startsWith(":")).map((step) => step.slice(1));
    expect(url.variable.map(({ key }) => key)).toEqual(named);
    expect(url.variable.every(({ value }) => value !== "")).toBe(true);
  }
  const raw = (id: string) => items.find((item) => item.id === id)?.request.url.raw;
  expect(raw("getUser")).toBe("{{baseUrl}}/api/users/:id");
  expect(raw("listSessions")).toBe("{{baseUrl}}/api/sessions");
  const complete = new postman.Collection(JSON.parse(await readFile(file, "utf8")));
  complete.forEachItem(({ request: { url } }) => expect(url.toString()).toMatch(/^{{baseUrl}}\/[^:]*$/));
});

test("it is reproducible, and contains every operation once", async () => {
  const collection = await postmanCollection(parse(openapi));
  expect(await postmanCollection(parse(openapi))).toBe(collection);
  const items = itemsOf(JSON.parse(collection));
  expect(items.map(({ id }) => id).toSorted()).toEqual(operationsOf(openapi));
});

test("every run registers new users and passwords", async () => {
  const items = itemsOf(JSON.parse(await readFile(file, "utf8")));
  const sent = (operationId: string) => JSON.parse(items.find(({ id }) => id === operationId)?.request.body?.raw ?? "");
  expect(sent("createUser")).toEqual({ username: "miguel-{{$guid}}", password: "{{password}}" });
  expect(sent("changePassword")).toEqual({
    current_password: "{{password}}",
    new_password: "staple horse correct-{{$guid}}",
  });
});
