/**
 * Operations of other kinds can be added by changing only the files that CONTRIBUTING.md lists: a POST with a body and a
 * `Location`, an operation with a path parameter, and an HTML page. They are then served, documented, in the collection
 * and fuzzed.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { copyProject, expectPassed } from "../support/projectCopy.ts";

const shared = (...responses: [string, string][]) =>
  responses.map(([status, name]) => `        '${status}': { $ref: '#/components/responses/${name}' }\n`).join("");
const ofUsers = shared(
  ["401", "Unauthorized"],
  ["429", "TooManyRequests"],
  ["500", "InternalError"],
  ["503", "Unavailable"],
);

const headers = `          headers:
            X-Request-Id: { $ref: '#/components/headers/X-Request-Id' }
            Cache-Control: { $ref: '#/components/headers/NoStore' }
`;

const paths = `  /api/parcels:
    post:
      operationId: createParcel
      tags: [Resource]
      summary: Send a parcel
      description: Of one's own.
      security:
        - basicAuth: []
        - bearerAuth: []
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: '#/components/schemas/NewParcel' }
            examples: { latch: { value: { label: A latch for the door, grams: 2000, status: open, tags: [brass] } } }
      responses:
        '201':
          description: It is on its way.
${headers}            Location:
              description: Where it can be read.
              required: true
              schema: { type: string, format: uri-reference, maxLength: 64 }
              example: /api/parcels/p-1
          content:
            application/json:
              schema: { $ref: '#/components/schemas/Parcel' }
              examples: { latch: { value: { id: p-1, label: A latch for the door, grams: 2000, status: open, tags: [brass] } } }
${shared(["400", "InvalidRequest"], ["403", "CrossSiteRequest"], ["406", "NotAcceptable"], ["408", "RequestTimeout"], ["413", "PayloadTooLarge"], ["415", "UnsupportedMediaType"])}${ofUsers}
  /api/parcels/{id}:
    get:
      operationId: getParcel
      tags: [Users]
      summary: Read a parcel
      description: One's own only.
      security:
        - bearerAuth: []
        - basicAuth: []
      parameters:
        - name: id
          in: path
          required: true
          description: The parcel's id.
          schema: { type: string, pattern: '^p-[0-9]+$', maxLength: 20 }
          example: p-1
      responses:
        '200':
          description: The parcel.
${headers}          content:
            application/json:
              schema: { $ref: '#/components/schemas/Parcel' }
              examples: { latch: { value: { id: p-1, label: A latch for the door, grams: 2000, status: open, tags: [brass] } } }
${shared(["400", "InvalidRequest"], ["404", "NotFound"], ["406", "NotAcceptable"])}${ofUsers}
  /parcels:
    get:
      operationId: getParcelsPage
      tags: [Resource]
      summary: Read about parcels
      description: A page for people.
      security: []
      responses:
        '200':
          description: The page.
${headers}          content:
            text/html:
              schema: { $ref: '#/components/schemas/Page' }
              examples: { page: { value: <!doctype html><title>Parcels</title> } }
${shared(["400", "InvalidRequest"], ["406", "NotAcceptable"])}
`;

const members = `        label: { type: string, minLength: 1, maxLength: 80, description: What is written on it., example: A latch for the door }
        grams: { type: integer, minimum: 1500, maximum: 30000, description: What it weighs., example: 2000 }
        status: { type: string, enum: [open, sealed], description: Whether it can be looked into., example: open }
        tags:
          description: What it is found by.
          type: array
          minItems: 1
          maxItems: 3
          items: { type: string, minLength: 1, maxLength: 20, description: A word., example: brass }
`;
const schemas = `    NewParcel:
      description: What is to be sent.
      type: object
      additionalProperties: false
      required: [label, grams, status, tags]
      properties:
${members}
    Parcel:
      description: What was sent.
      type: object
      additionalProperties: false
      required: [id, label, grams, status, tags]
      properties:
        id: { type: string, pattern: '^p-[0-9]+$', maxLength: 20, description: The parcel's id., example: p-1 }
${members}
`;

const handler = `import type { components } from "../../generated/openapi.ts";
import type { Handler } from "../openapi/binding.ts";
import { Problem } from "../problems/problems.ts";

type Parcel = components["schemas"]["Parcel"];
const parcels = new Map<string, { owner: string; parcel: Parcel }>();

export const createParcel: Handler<"createParcel"> = ({ body, principal }) => {
  const parcel = { id: \`p-\${parcels.size + 1}\`, ...body };
  parcels.set(parcel.id, { owner: principal.userId, parcel });
  return { status: 201, headers: { Location: \`/api/parcels/\${parcel.id}\` }, body: parcel };
};

export const getParcel: Handler<"getParcel"> = ({ path, principal }) => {
  const found = parcels.get(path.id);
  if (found?.owner !== principal.userId) throw new Problem("not-found");
  return { status: 200, body: found.parcel };
};

export const getParcelsPage: Handler<"getParcelsPage"> = () => ({ status: 200, body: "<!doctype html><title>Parcels</title>" });
`;

const fuzzAll = `import { expect, test } from "vitest";
import { readApi } from "../../fuzz/contract/operations.ts";
import { fuzz } from "../../fuzz/run.ts";
import { startFuzzedService } from "../../fuzz/service.ts";
import { createDatabase } from "../support/service.ts";

test("the fuzzer finds nothing in any operation", { timeout: 240_000 }, async () => {
  const api = readApi("openapi.yaml");
  const service = await startFuzzedService(await createDatabase());
  // Whether an operation succeeds depends on chance, so there are further runs. fuzz.test.ts covers the other operations.
  const added = api.operations.filter(({ path }) => path.includes("parcels")).map(({ id }) => id);
  expect(added.length).toBeGreaterThanOrEqual(3);
  const succeeded = new Set<string>();
  for (let seed = 1; seed <= 5 && !added.every((id) => succeeded.has(id)); seed += 1) {
    const promises = seed === 1 ? {} : { promises: [] };
    const { failure, requests, statuses } = await fuzz({ api, ...service, seed, requests: 3000, ...promises });
    expect(failure, failure?.what).toBeUndefined();
    expect(requests).toBeGreaterThanOrEqual(3000);
    for (const [id, counts] of statuses) if ([...counts.keys()].some((status) => status < 300)) succeeded.add(id);
  }
  await service.close();
  expect(added.filter((id) => !succeeded.has(id))).toEqual([]);
});
`;

test("three operations of other shapes can be added", { timeout: 600_000 }, async () => {
  const project = await copyProject();
  const { path, run, edit, write } = project;
  await edit("openapi.yaml", "\npaths:\n", `\npaths:\n${paths}`);
  await edit("openapi.yaml", "\n  schemas:\n", `\n  schemas:\n${schemas}`);
  await write("src/parcels/handlers.ts", handler);
  const names = "createParcel, getParcel, getParcelsPage";
  await edit(
    "src/operations.ts",
    "import { getResource }",
    `import { ${names} } from "./parcels/handlers.ts";\nimport { getResource }`,
  );
  await edit("src/operations.ts", "  getResource,\n", `  getResource,\n  ${names},\n`);

  expect(await run("tsx", "scripts/generate.ts")).toEqual({ status: 0, output: "" });
  expect(await run("redocly", "lint", "openapi.yaml")).toMatchObject({ status: 0 });
  expect(await run("tsc", "-p", "tsconfig.build.json", "--declaration", "false")).toEqual({ status: 0, output: "" });
  expect(await run("tsx", "scripts/build-docs.ts")).toMatchObject({ status: 0 });
  const [, shown = ""] =
    /^\s*const __redoc_definition = (.+);$/m.exec(await readFile(join(path, "dist/docs.html"), "utf8")) ?? [];
  const documented = JSON.parse(shown).paths["/api/parcels"].post["x-codeSamples"].map(
    ({ lang }: { lang: string }) => lang,
  );
  expect(documented).toEqual(["bash", "javascript", "python", "go"]);

  // The code samples work, the collection passes, and the fuzzer finds nothing.
  await write("test/project/fuzzAll.test.ts", fuzzAll);
  const wanted = [
    "createParcel answers 201",
    "getParcel answers 200",
    "getParcelsPage answers 200",
    "every operation is answered",
    "the fuzzer finds nothing in any operation",
  ];
  const report = ["--reporter=json", "--outputFile=tests.json"];
  const tests = await run("vitest", "run", "codeSamples", "collection", "fuzzAll", "-t", wanted.join("|"), ...report);
  await expectPassed(project, "tests.json", wanted);
  expect(tests).toMatchObject({ status: 0 });
});
