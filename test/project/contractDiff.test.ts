/** `npm run contract:diff` finds the changes of the contract that affect clients, and whether they break them. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Document } from "yaml";
import { type Change, contractChanges } from "../../scripts/contract/changes.ts";
import { announcesBreakingChange } from "../../scripts/versions.ts";
import {
  add,
  type Edit,
  edited,
  header,
  member,
  operation,
  original,
  remove,
  response,
  schema,
  set,
} from "../support/edits.ts";
import { temporaryFolder } from "../support/temporaryFolder.ts";

const listSessions = operation("get", "/api/sessions");
const limit = [...listSessions, "parameters", "0"];
const createUser = operation("post", "/api/users");
const unauthorized = response(
  "Unauthorized",
  "content",
  "application/problem+json",
  "schema",
  "allOf",
  "1",
  "properties",
);

type Verdict = "breaking" | "added" | "changed" | "none";

/** An edit, and the expected verdicts on the edit and on its reversal. */
const edits: [string, Edit, Verdict, Verdict][] = [
  ["a title", set(["info", "title"], "Deadbolt"), "none", "none"],
  ["a summary", set([...createUser, "summary"], "Sign up"), "none", "none"],
  ["a description of a schema", set(schema("User", "description"), "Somebody."), "none", "none"],
  [
    "a description within an alternative",
    set(schema("RequestError", "oneOf", "0", "description"), "Here."),
    "none",
    "none",
  ],
  ["an example", set(member("User", "username", "example"), "susan"), "none", "none"],
  ["a problem that no operation has", add(member("Problem", "type", "enum"), "/problems/moon-phase"), "none", "none"],
  ["a condition said twice", set(member("NewUser", "username", "allOf"), [{ minLength: 1 }]), "none", "none"],
  [
    "a description beside a reference",
    set(operation("get", "/api/users/me", "responses", "200", "description"), "You."),
    "none",
    "none",
  ],
  [
    "a reference among others",
    set(response("User", "content", "application/json", "schema"), { allOf: [{ $ref: "#/components/schemas/User" }] }),
    "none",
    "none",
  ],
  ["a bound that binds nothing", set(member("NewPassword", "minLength"), 0), "none", "none"],
  ["the servers", set(["servers", "0", "url"], "/v2"), "breaking", "breaking"],
  ["a tag", set([...createUser, "tags"], ["Tokens"]), "changed", "changed"],
  ["that an operation is deprecated", set([...createUser, "deprecated"], true), "changed", "changed"],

  ["an operation removed", remove(...createUser), "breaking", "added"],
  ["a path removed", remove("paths", "/livez"), "breaking", "added"],
  ["another operationId", set([...createUser, "operationId"], "register"), "breaking", "breaking"],
  ["a callback", set([...createUser, "callbacks"], {}), "breaking", "breaking"],

  [
    "an optional parameter",
    add([...listSessions, "parameters"], { name: "order", in: "query", schema: { type: "string" } }),
    "added",
    "breaking",
  ],
  [
    "a required parameter",
    add([...listSessions, "parameters"], { name: "order", in: "query", required: true, schema: { type: "string" } }),
    "breaking",
    "breaking",
  ],
  ["a parameter required", set([...limit, "required"], true), "breaking", "changed"],
  ["a parameter in another style", set([...limit, "style"], "pipeDelimited"), "breaking", "breaking"],
  ["less of a parameter", set([...limit, "schema", "maximum"], 50), "breaking", "added"],
  ["a parameter's default", set([...limit, "schema", "default"], 50), "changed", "changed"],
  [
    "a parameter for a whole path",
    set(["paths", "/api/sessions", "parameters"], [{ name: "order", in: "query", required: true }]),
    "breaking",
    "breaking",
  ],

  ["no body", remove(...createUser, "requestBody"), "breaking", "breaking"],
  ["an optional body", set([...createUser, "requestBody", "required"], false), "changed", "breaking"],
  [
    "a body of another type too",
    set([...createUser, "requestBody", "content", "application/cbor"], {}),
    "added",
    "breaking",
  ],
  ["an optional member of a request", set(member("NewUser", "locale"), { type: "string" }), "added", "breaking"],
  [
    "a required member of a request",
    (contract) => {
      set(member("NewUser", "locale"), { type: "string" })(contract);
      add(schema("NewUser", "required"), "locale")(contract);
    },
    "breaking",
    "breaking",
  ],
  ["a member of a request made optional", set(schema("NewUser", "required"), ["username"]), "added", "breaking"],
  ["an open request", set(schema("NewUser", "additionalProperties"), true), "added", "breaking"],
  ["a type added to a request", set(member("NewUser", "username", "type"), ["string", "null"]), "added", "breaking"],
  ["another type of a request", set(member("NewUser", "username", "type"), "integer"), "breaking", "breaking"],
  ["a wider type of a parameter", set([...limit, "schema", "type"], "number"), "added", "breaking"],
  ["a list of values for a request", set(member("NewUser", "username", "enum"), ["miguel"]), "breaking", "added"],
  ["one value for a request", set(member("NewUser", "username", "const"), "miguel"), "breaking", "added"],
  ["more to write", set(member("NewUser", "username", "minLength"), 3), "breaking", "added"],
  ["less to write", set(member("NewUser", "username", "maxLength"), 64), "breaking", "added"],
  ["another pattern of a request", set(member("NewUser", "username", "pattern"), "^[a-z]+$"), "breaking", "breaking"],
  ["no pattern of a request", remove(...member("NewUser", "username", "pattern")), "added", "breaking"],
  ["a condition beside a reference", set(member("NewUser", "password", "minLength"), 8), "breaking", "added"],
  ["a format of a request", set(member("NewUser", "username", "format"), "email"), "breaking", "added"],
  [
    "a keyword that is not understood",
    set(member("NewUser", "username", "not"), { const: "root" }),
    "breaking",
    "breaking",
  ],
  ["a keyword that nobody knows", set(member("NewUser", "username", "x-secret"), true), "breaking", "breaking"],

  ["another success", set([...createUser, "responses", "202"], { description: "Later." }), "breaking", "breaking"],
  [
    "another error",
    set([...createUser, "responses", "418"], { description: "Short and stout." }),
    "breaking",
    "changed",
  ],
  [
    "another problem in a status",
    add([...unauthorized, "type", "enum"], "/problems/token-reused"),
    "breaking",
    "changed",
  ],
  ["a reason that was not given", add(schema("PasswordRefusal", "enum"), "too-sad"), "breaking", "changed"],
  ["a member of an answer removed", remove(...member("User", "created_at")), "breaking", "breaking"],
  ["an optional member of an answer removed", remove(...member("Problem", "detail")), "breaking", "breaking"],
  ["a member of an answer made optional", set(schema("User", "required"), ["id", "username"]), "breaking", "changed"],
  [
    "a member of an answer that can be null",
    set(member("User", "created_at", "type"), ["string", "null"]),
    "breaking",
    "changed",
  ],
  ["a shorter member of an answer", set(member("User", "username", "maxLength"), 32), "changed", "breaking"],
  [
    "a member of the items of an answer",
    set(member("Session", "current", "type"), ["boolean", "null"]),
    "breaking",
    "changed",
  ],
  ["an alternative of an answer", remove(...schema("RequestError", "oneOf", "2")), "breaking", "breaking"],
  [
    "another media type of an answer",
    (contract) => {
      remove(...response("User", "content", "application/json"))(contract);
      set(response("User", "content", "application/cbor"), {})(contract);
    },
    "breaking",
    "breaking",
  ],
  [
    "a header of an answer",
    set(response("User", "headers", "Moon"), { schema: { type: "string" } }),
    "added",
    "breaking",
  ],
  ["a header that need not be there", set(header("X-Request-Id", "required"), false), "breaking", "changed"],
  ["another value of a header", set(header("NoStore", "schema", "const"), "no-cache"), "breaking", "breaking"],
  ["links of an answer", set(response("User", "links"), { self: { operationId: "getUser" } }), "breaking", "breaking"],

  [
    "one kind of credentials less",
    set(operation("get", "/api/users/me", "security"), [{ basicAuth: [] }]),
    "breaking",
    "added",
  ],
  ["no need of credentials", set(operation("get", "/api/token", "security"), []), "added", "breaking"],
  [
    "the name of a security scheme's token format",
    set(["components", "securitySchemes", "bearerAuth", "scheme"], "DPoP"),
    "breaking",
    "breaking",
  ],
];

/** Does nothing where another edit has removed what it is about. */
function attempt(edit: Edit, contract: Document): void {
  try {
    edit(contract);
  } catch {}
}

const unchanged = original.toJS() as { paths: Record<string, object> };
const parsed = (...chosen: Edit[]): object => edited(...chosen).toJS();
const worst = (changes: Change[]): Verdict =>
  (["breaking", "added", "changed"] as const).find((each) => changes.some(({ verdict }) => verdict === each)) ?? "none";

describe("an edit of the contract and its reversal are classified:", () => {
  test.each(edits)("%s", (_name, edit, done, undone) => {
    const changed = parsed(edit);
    expect(worst(contractChanges(unchanged, changed))).toBe(done);
    expect(worst(contractChanges(changed, unchanged))).toBe(undone);
  });

  test("equal contracts have no changes", () => {
    fc.assert(
      fc.property(fc.subarray(edits), (chosen) => {
        const contract = () =>
          parsed(
            ...chosen.map(
              ([, edit]) =>
                (document: Document) =>
                  attempt(edit, document),
            ),
          );
        expect(contractChanges(contract(), contract())).toEqual([]);
      }),
      { numRuns: 10 },
    );
  });

  test("the removal of any operation is breaking", () => {
    const all = Object.entries(unchanged.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => [method, path] as const),
    );
    expect(all.length).toBeGreaterThan(10);
    for (const [method, path] of all) {
      const changes = contractChanges(unchanged, parsed(remove(...operation(method, path))));
      expect(changes).toMatchObject([{ verdict: "breaking", text: "was removed" }]);
    }
  });

  test("any optional member of a request is compatible", () => {
    const anySchema = fc.oneof(
      fc.constantFrom({}, { type: "string", maxLength: 64 }, { $ref: "#/components/schemas/User" }, { not: {} }),
      fc.record({ enum: fc.array(fc.json()), default: fc.json() }),
    );
    const requests = fc.constantFrom("NewUser", "PasswordChange", "Refresh");
    fc.assert(
      fc.property(requests, fc.stringMatching(/^x_[a-z_]+$/), anySchema, (request, name, added) => {
        const changes = contractChanges(unchanged, parsed(set(member(request, name), added)));
        expect(changes).toMatchObject([{ verdict: "added", text: `body.${name} was added` }]);
      }),
      { numRuns: 20 },
    );
  });
});

describe("a change is reported", () => {
  test.each([
    [
      "with its operation",
      set(member("Token", "duration", "minimum"), 0),
      "GET /api/token (issueToken)",
      "response 200 body.duration has minimum 0, had 1",
    ],
    [
      "with its member",
      set(member("NewUser", "username", "maxLength"), 64),
      "POST /api/users (createUser)",
      "body.username has maxLength 64, had 256",
    ],
    [
      "with its header",
      set(header("Retry-After", "schema", "type"), "number"),
      "GET /readyz (getReadiness)",
      "response 503 header retry-after can now be number",
    ],
    [
      "with its parameter",
      set([...limit, "required"], true),
      "GET /api/sessions (listSessions)",
      "query parameter limit is now required",
    ],
    [
      "with its problem",
      add([...unauthorized, "type", "enum"], "/problems/token-reused"),
      "GET /api/resource (getResource)",
      'response 401 body.type can now be "/problems/token-reused"',
    ],
    [
      "of the whole contract",
      set(["servers", "0", "url"], "/v2"),
      "The contract",
      "servers changed in a way that this tool does not understand",
    ],
  ])("%s", (_name, edit, subject, text) => {
    expect(contractChanges(unchanged, parsed(edit))).toContainEqual({ verdict: "breaking", subject, text });
  });

  test("once if a required member was removed", () => {
    const changes = contractChanges(
      unchanged,
      parsed(remove(...member("Token", "duration")), set(schema("Token", "required"), ["token"])),
    );
    expect(changes.map(({ text }) => text)).toEqual(["response 200 body.duration was removed"]);
  });

  test("once for a recursive schema", () => {
    const tree = (name: object): Edit =>
      set(schema("Resource"), {
        type: "object",
        properties: { name, children: { type: "array", items: { $ref: "#/components/schemas/Resource" } } },
      });
    const changes = contractChanges(parsed(tree({ type: "string" })), parsed(tree({ type: ["string", "null"] })));
    expect(changes.map(({ text }) => text)).toEqual(["response 200 body.name can now be null"]);
  });

  test("for a recursive schema with unknown keywords", () => {
    const tree = (name: object): Edit =>
      set(schema("Resource"), { anyOf: [name, { items: { $ref: "#/components/schemas/Resource" } }] });
    const [one, other] = [parsed(tree({ const: 1 })), parsed(tree({ const: 2 }))];
    expect(contractChanges(one, one)).toEqual([]);
    expect(worst(contractChanges(one, other))).toBe("breaking");
  });

  test("as an error if a reference has no target", () => {
    const broken = parsed(set(member("User", "id"), { $ref: "#/components/schemas/Nobody" }));
    expect(() => contractChanges(unchanged, broken)).toThrow("#/components/schemas/Nobody has no target.");
  });
});

test.each([
  ["1.2.3", "2.0.0", true],
  ["1.2.3", "1.3.0", false],
  ["0.1.0", "0.2.0", true],
  ["0.1.0", "1.0.0", true],
  ["0.1.0", "0.1.1", false],
  ["0.2.0", "0.1.0", false],
  ["1.0.0", "0.9.0", false],
  ["0.1.0", "0.1.0", false],
])("the version %s followed by %s announces a breaking change: %s", (from, to, expected) => {
  expect(announcesBreakingChange(from, to)).toBe(expected);
});

describe("npm run contract:diff", () => {
  /** A repository with the contract and its last released version. */
  async function repository(changelog = "# Changelog\n\n## Unreleased\n") {
    const folder = await temporaryFolder();
    const git = (...args: string[]) => run(folder, "git", ...args);
    const commit = (message: string) =>
      git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--quiet", "--all", "-m", message);
    const write = async (contract: Document, version = "0.1.0") => {
      contract.setIn(["info", "version"], version);
      await writeFile(join(folder, "openapi.yaml"), contract.toString());
      // All packages have the same version.
      for (const file of ["package.json", "packages/client/package.json"])
        await writeFile(join(folder, file), JSON.stringify({ version }));
    };
    await git("init", "--quiet");
    await mkdir(join(folder, "packages/client"), { recursive: true });
    await write(edited());
    await mkdir(join(folder, "contract"));
    await cp(join(folder, "openapi.yaml"), join(folder, "contract/released.yaml"));
    await writeFile(join(folder, "CHANGELOG.md"), changelog);
    await git("add", ".");
    await commit("First");
    return {
      folder,
      git,
      commit,
      write,
      diff: (...args: string[]) => diffIn(folder, ...args),
      changelog: () => readFile(join(folder, "CHANGELOG.md"), "utf8"),
    };
  }

  const tsx = resolve("node_modules/tsx/dist/loader.mjs");
  const diffIn = (folder: string, ...args: string[]) =>
    run(folder, process.execPath, "--import", tsx, resolve("scripts/contract-diff.ts"), ...args);

  async function run(cwd: string, file: string, ...args: string[]) {
    // Ignore the Git configuration of the developer and the surrounding repository.
    const env = { PATH: process.env["PATH"], GIT_CONFIG_GLOBAL: "/dev/null", GIT_CEILING_DIRECTORIES: tmpdir() };
    const { stdout, stderr, code } = await promisify(execFile)(file, args, { cwd, env }).then(
      (output) => ({ ...output, code: 0 }),
      (error: { stdout: string; stderr: string; code: number }) => error,
    );
    return { status: code, output: stdout + stderr };
  }

  const narrower = set(member("NewUser", "username", "maxLength"), 64);
  const wider = set(member("NewUser", "locale"), { type: "string" });

  test("compares with contract/released.yaml, and fails if a breaking change is not announced", async () => {
    const { diff, write } = await repository();
    expect(await diff()).toMatchObject({
      status: 0,
      output: expect.stringContaining("No change affects clients."),
    });
    await write(edited(wider), "0.1.1");
    expect(await diff()).toMatchObject({
      status: 0,
      output: expect.stringContaining("added     body.locale was added"),
    });
    await write(edited(narrower), "0.1.1");
    const { status, output } = await diff();
    expect({ status, output }).toEqual({
      status: 1,
      output: `openapi.yaml 0.1.1, compared with contract/released.yaml (0.1.0)

POST /api/users (createUser)
  breaking  body.username has maxLength 64, had 256

This breaks clients of 0.1.0, and version 0.1.1 does not announce it.
`,
    });
    await write(edited(narrower), "0.2.0");
    expect(await diff()).toMatchObject({ status: 0, output: expect.stringContaining("breaking  body.username") });
  });

  test("compares with another file or Git revision", async () => {
    const { diff, folder, write } = await repository();
    await write(edited(narrower));
    await writeFile(join(folder, "other.yaml"), edited(narrower).toString());
    expect(await diff("--from", "other.yaml")).toMatchObject({ status: 0 });
    expect(await diff("--from", "HEAD")).toMatchObject({ status: 1 });
    expect(await diff("--from", "nowhere")).toMatchObject({ status: 1, output: expect.stringContaining("nowhere") });
  });

  test("fails if the contract and the package have different versions", async () => {
    const { diff, folder } = await repository();
    await writeFile(join(folder, "package.json"), JSON.stringify({ version: "0.2.0" }));
    expect(await diff()).toEqual({
      status: 1,
      output: "openapi.yaml has version 0.1.0, but package.json has 0.2.0. They must be the same.\n",
    });
  });

  test("works in a shallow clone without tags, and without Git", async () => {
    const { commit, folder, git, write } = await repository();
    await write(edited(narrower), "0.1.1");
    await commit("Second");
    await git("clone", "--quiet", "--depth", "1", `file://${folder}`, "shallow");
    await rm(join(folder, "shallow/.git"), { recursive: true });
    expect(await diffIn(join(folder, "shallow"))).toMatchObject({
      status: 1,
      output: expect.stringContaining("This breaks clients of 0.1.0"),
    });
  });

  test("fails if contract/released.yaml is missing", async () => {
    const { diff, folder } = await repository();
    await rm(join(folder, "contract/released.yaml"));
    expect(await diff()).toMatchObject({ status: 1, output: expect.stringContaining("contract/released.yaml") });
  });

  test("--write copies the changes to the changelog", async () => {
    const released = "## 0.1.0\n\n### Contract\n\n- Added: all of it\n";
    const { changelog, diff, write } = await repository(
      `# Changelog\n\n## Unreleased\n\n### Fixed\n\n- A typo.\n\n${released}`,
    );
    await write(edited(narrower, wider, add([...unauthorized, "type", "enum"], "/problems/token-reused")), "0.2.0");
    await diff("--write");
    const written = await changelog();
    expect(written).toMatch(`# Changelog

## Unreleased

### Contract

- Breaking: response 401 body.type can now be "/problems/token-reused": GET /api/users (listUsers), `);
    expect(written).toMatch(`
- Breaking: body.username has maxLength 64, had 256: POST /api/users (createUser)
- Added: body.locale was added: POST /api/users (createUser)

### Fixed

- A typo.

${released}`);
    await diff("--write");
    expect(await changelog()).toBe(written);
    await write(edited(wider));
    await diff("--write");
    expect(await changelog()).toBe(
      `# Changelog\n\n## Unreleased\n\n### Contract\n\n- Added: body.locale was added: POST /api/users (createUser)\n\n### Fixed\n\n- A typo.\n\n${released}`,
    );
    await write(edited());
    await diff("--write");
    expect(await changelog()).toBe(`# Changelog\n\n## Unreleased\n\n### Fixed\n\n- A typo.\n\n${released}`);
  });
});
