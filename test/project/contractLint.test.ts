/** `npm run lint` rejects a contract that is incomplete or inconsistent. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { add, type Edit, edited, header, member, operation, remove, response, schema, set } from "../support/edits.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const getUser = operation("get", "/api/users/{id}");
const id = ["components", "parameters", "UserId"];
const scopes = ["components", "securitySchemes", "oauth2", "flows", "clientCredentials", "scopes"];
const createUser = operation("post", "/api/users");
const problem = (name: string, ...rest: string[]) => response(name, "content", "application/problem+json", ...rest);

/** Each rule, and an edit that it rejects. */
const rejected: [rule: string, edit: Edit][] = [
  ["operation-operationId", remove(...createUser, "operationId")],
  [
    "operation-4xx-response",
    set(operation("get", "/livez", "responses"), { "200": { $ref: "#/components/responses/Health" } }),
  ],
  ["operation-description", remove(...createUser, "description")],
  ["operation-summary", remove(...createUser, "summary")],
  ["operation-singular-tag", add([...createUser, "tags"], "Tokens")],
  ["operation-tag-defined", set([...createUser, "tags"], ["Moon"])],
  ["operation-parameters-unique", add([...getUser, "parameters"], { name: "id", in: "path", required: true })],
  ["path-params-defined", remove(...getUser, "parameters")],
  ["parameter-description", remove(...id, "description")],
  ["tag-description", remove("tags", "0", "description")],
  [
    "no-invalid-media-type-examples",
    set([...createUser, "requestBody", "content", "application/json", "examples", "miguel", "value"], { username: 1 }),
  ],
  ["no-invalid-parameter-examples", set([...id, "example"], "the first")],
  ["no-invalid-schema-examples", set(member("User", "id", "example"), "the first")],
  ["no-required-schema-properties-undefined", add(schema("User", "required"), "locale")],
  ["no-schema-type-mismatch", set(member("User", "id", "items"), { type: "string" })],
  ["no-server-example.com", set(["servers", "0", "url"], "https://example.com")],
  ["info-license-strict", remove("info", "license", "identifier")],
  ["scalar-property-missing-example", remove(...member("User", "id", "example"))],
  ["spec-strict-refs", set(["info", "license"], { $ref: "#/components/schemas/User" })],
  ["response-contains-header", remove(...response("Unavailable", "headers", "Retry-After"))],
  ["response-contains-header", remove(...response("Unauthorized", "headers", "WWW-Authenticate"))],
  ["response-contains-header", remove(...response("User", "headers"))],
  ["latchkey/errors-have-one-format", remove(...problem("NotFound", "schema"))],
  ["latchkey/errors-have-one-format", remove(...problem("Unavailable", "schema", "allOf", "0"))],
  [
    "latchkey/errors-have-one-format",
    set(operation("post", "/oauth/revoke", "responses", "400"), { $ref: "#/components/responses/InvalidRequest" }),
  ],
  ["rule/security-is-said", remove(...createUser, "security")],
  ["rule/objects-are-closed", remove(...schema("User", "additionalProperties"))],
  ["rule/media-types-have-examples", remove(...problem("NotFound", "examples"))],

  ["latchkey/everything-is-used", set(schema("Moon"), { type: "string", description: "Not made of cheese." })],
  [
    "latchkey/everything-is-used",
    set(schema("Moon"), { description: "Of itself.", items: { $ref: "#/components/schemas/Moon" } }),
  ],
  ["latchkey/everything-is-used", set(response("Moon"), { description: "Not made of cheese." })],
  ["latchkey/everything-is-used", set(["components", "examples", "Moon"], { value: 1 })],
  [
    "latchkey/everything-is-used",
    set(header("Moon"), { description: "Its phase.", example: 1, schema: { type: "integer" } }),
  ],
  ["latchkey/everything-is-used", set(["components", "parameters", "Moon"], { name: "moon", in: "query" })],
  ["latchkey/everything-is-used", set(["components", "securitySchemes", "moonAuth"], { type: "http", scheme: "moon" })],
  ["latchkey/everything-is-used", add(["tags"], { name: "Moon", description: "Not made of cheese." })],
  ["latchkey/links-are-absolute", set([...createUser, "description"], "See [the user](#getUser).")],
  ["latchkey/links-are-absolute", set(member("User", "id", "description"), "As in [the guide](docs/credentials.md).")],
  ["latchkey/schemas-are-described", remove(...schema("User", "description"))],
  ["latchkey/schemas-are-described", remove(...member("User", "id", "description"))],
  ["latchkey/schemas-are-described", remove(...schema("NewPassword", "description"))],
  [
    "latchkey/schemas-are-described",
    remove(...schema("RequestError", "oneOf", "0", "properties", "pointer", "description")),
  ],
  [
    "latchkey/schemas-are-described",
    set(problem("NotFound", "schema", "allOf", "1", "properties", "moon"), { type: "object" }),
  ],
  ...[
    remove(...member("User", "username", "maxLength")),
    remove(...member("NewUser", "username", "maxLength")), // a pattern alone is not enough
    remove(...member("Session", "user_agent", "maxLength")),
    remove(...header("Content-Security-Policy", "schema", "maxLength")),
    remove(...operation("get", "/problems/{slug}", "parameters", "0", "schema", "maxLength")),
    remove(...operation("get", "/api/sessions", "parameters", "0", "schema", "maximum")),
    remove(...operation("get", "/api/sessions", "parameters", "0", "schema", "minimum")),
    remove(...header("Retry-After", "schema", "maximum")),
    remove(...member("Token", "duration", "maximum")),
    set(member("Token", "duration"), { description: "Seconds.", type: ["number", "null"], minimum: 1 }),
    remove(...member("JwkSet", "keys", "maxItems")),
    remove(...schema("RequestError", "oneOf", "0", "properties", "pointer", "maxLength")),
    set(member("User", "locale"), { description: "Anything." }),
    set(member("User", "locale"), { description: "A language.", pattern: "^[a-z]+$" }),
    set(member("User", "locale"), { description: "A time.", type: "string", format: "date-time" }),
  ].map((edit): [string, Edit] => ["latchkey/values-are-bounded", edit]),
  ["latchkey/answers-are-declared", remove(...operation("get", "/livez", "responses", "400"))],
  ["latchkey/answers-are-declared", remove(...operation("get", "/livez", "responses", "406"))],
  ["latchkey/answers-are-declared", remove(...createUser, "responses", "403")],
  ["latchkey/answers-are-declared", remove(...operation("delete", "/api/sessions/{id}", "responses", "403"))],
  ["latchkey/answers-are-declared", remove(...createUser, "responses", "413")],
  ["latchkey/answers-are-declared", remove(...createUser, "responses", "415")],
  ["latchkey/answers-are-declared", remove(...getUser, "responses", "401")],
  ["latchkey/answers-are-declared", remove(...getUser, "responses", "429")],
  ["latchkey/answers-are-declared", remove(...getUser, "responses", "500")],
  ["latchkey/answers-are-declared", remove(...getUser, "responses", "503")],

  ...[
    [],
    ["info"],
    ["tags", "0"],
    ["paths"],
    ["paths", "/livez"],
    createUser,
    id,
    [...createUser, "requestBody"],
    [...createUser, "responses"],
    response("User"),
    response("User", "content", "application/json"),
    header("NoStore"),
    schema("User"),
    member("User", "id"),
    ["components"],
    ["components", "securitySchemes", "basicAuth"],
    ["components", "examples", "User"],
  ].map((path): [string, Edit] => ["rule/no-extensions", set([...path, "x-moon"], "full")]),
  ["rule/headers-are-described", remove(...header("NoStore", "description"))],
  ["rule/responses-are-described", set(response("User", "description"), "")],
  ["rule/security-schemes-are-described", remove("components", "securitySchemes", "basicAuth", "description")],
  ["latchkey/scopes-are-described", set([...scopes, "audit:read"], "")],
  ["latchkey/scopes-are-described", remove(...scopes, "audit:read")],
  ["latchkey/everything-is-used", set([...scopes, "moon:read"], "See the moon.")],
  ["rule/parameters-have-examples", remove(...id, "example")],
  ["rule/headers-have-examples", remove(...header("NoStore", "example"))],
  ...["/api/userNames", "/api/user_names", "/Api", "/api//x", "/api/{userId}", "/api/x/"].map(
    (path): [string, Edit] => ["rule/paths-are-kebab-case", set(["paths", path], {})],
  ),
  ["rule/operations-are-camel-case", set([...createUser, "operationId"], "create_user")],
  [
    "rule/parameters-are-snake-case",
    set([...operation("get", "/api/sessions"), "parameters", "0", "name"], "pageLimit"),
  ],
  ["rule/members-are-snake-case", set(member("User", "createdAt"), { type: "string", description: "When." })],
  ["rule/schemas-are-pascal-case", set(schema("new_user"), { type: "string", description: "Somebody." })],
  ["rule/responses-are-pascal-case", set(response("not_found"), { description: "Nothing." })],
  ["rule/examples-are-pascal-case", set(["components", "examples", "miguel"], { value: 1 })],
  [
    "rule/security-schemes-are-camel-case",
    set(["components", "securitySchemes", "Moon-Auth"], { type: "http", scheme: "moon" }),
  ],
  ["rule/tags-are-capitalised", set(["tags", "0", "name"], "users")],
  ["rule/values-are-kebab-case", add(member("Problem", "type", "enum"), "/problems/moon_phase")],
  ["rule/values-are-kebab-case", add(schema("PasswordRefusal", "enum"), "tooSad")],
];

type Lint = { totals: { errors: number; warnings: number }; problems: { ruleId: string; severity: string }[] };

/** One run for all edits, because the start of the program takes most of the time. */
async function lint(files: string[], ...options: string[]): Promise<Lint[]> {
  const args = ["lint", ...files, "--config", "redocly.yaml", "--format", "json", ...options];
  const { stdout } = await promisify(execFile)("node_modules/.bin/redocly", args, { maxBuffer: 100_000_000 }).catch(
    (error: { stdout: string }) => error,
  );
  return stdout
    .split(/(?<=^\})/m)
    .filter((text) => text.trim() !== "")
    .map((text) => JSON.parse(text) as Lint);
}

describe("the contract", () => {
  test("is accepted without a warning", async () => {
    expect(await lint(["openapi.yaml"])).toMatchObject([{ totals: { errors: 0, warnings: 0 }, problems: [] }]);
    // So is the part that is edited below: its edits are all that is wrong.
    const part = join(await temporaryFolder(), "part.yaml");
    await writeFile(part, edited().toString());
    expect(await lint([part])).toMatchObject([{ totals: { errors: 0, warnings: 0 }, problems: [] }]);
  });

  describe("is rejected by", () => {
    let results: Lint[];
    beforeAll(async () => {
      const folder = await temporaryFolder();
      const files = rejected.map((_, index) => join(folder, `${index}.yaml`));
      await Promise.all(rejected.map(([, edit], index) => writeFile(files[index] as string, edited(edit).toString())));
      results = await lint(files);
    }, 120_000);

    test.each(rejected.map(([rule, edit], index) => ({ rule, edit, index })))("$rule ($index)", ({ rule, index }) => {
      expect(results[index]?.problems).toContainEqual(expect.objectContaining({ ruleId: rule, severity: "error" }));
    });
  });

  test("every rule rejects an edit", async () => {
    const { oas3_1Rules: rules } = parse(await readFile("redocly.yaml", "utf8")) as {
      oas3_1Rules: Record<string, unknown>;
    };
    const active = Object.keys(rules).filter((rule) => rules[rule] !== "off");
    expect([...new Set(rejected.map(([rule]) => rule))].sort()).toEqual(active.sort());
  });
});
