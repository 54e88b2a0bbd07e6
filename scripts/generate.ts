/**
 * `npm run generate`: writes generated/ and the generated files of packages/client from openapi.yaml. With `--check` it writes
 * nothing, and fails if a file is out of date.
 */
import { readFile, writeFile } from "node:fs/promises";
import openapiTypescript, { astToString } from "openapi-typescript";
import { parse } from "yaml";
import { postmanCollection } from "./postman.ts";

const formType = "application/x-www-form-urlencoded";
type Operation = { operationId?: string; security?: unknown; requestBody?: { content: Record<string, unknown> } };

const source = await readFile("openapi.yaml", "utf8");
const contract = parse(source) as {
  paths: Record<string, Record<string, Operation>>;
  components: { securitySchemes: { oauth2: { flows: Record<string, { scopes: Record<string, string> }> } } };
};
const notice = "// Generated from openapi.yaml by `npm run generate`. Do not edit.\n";

const types = notice + astToString(await openapiTypescript(source, { alphabetize: false, immutable: false }));

const files = {
  "generated/openapi.ts": types,
  "generated/security.ts": notice + security(),
  "generated/scopes.ts": notice + scopes(),
  "generated/postman.json": await postmanCollection(contract),
  // The client is published alone, with its own copy.
  "packages/client/src/generated/openapi.ts": types,
  "packages/client/src/generated/bearer.ts": notice + bearer(),
  "packages/client/src/generated/forms.ts": notice + forms(),
};

let outdated = 0;
for (const [path, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) {
    await writeFile(path, text);
  } else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
    console.error(`${path} is out of date. Run \`npm run generate\` and commit the result.`);
    outdated += 1;
  }
}
process.exitCode = outdated > 0 ? 1 : 0;

/** openapi-typescript omits `security`, which the binding needs for the types of principals. */
function security(): string {
  const lines = Object.values(contract.paths).flatMap((item) =>
    Object.values(item).map((operation) => `  ${operation.operationId}: ${JSON.stringify(operation.security)},\n`),
  );
  return `/** Which credentials each operation takes: alternatives of scheme and scopes. */\nexport const security = {\n${lines.join("")}} as const;\n`;
}

/** The scopes of this service, with their descriptions. */
function scopes(): string {
  const described = Object.assign(
    {},
    ...Object.values(contract.components.securitySchemes.oauth2.flows).map(({ scopes }) => scopes),
  );
  const lines = Object.entries(described).map(
    ([name, description]) => `  ${JSON.stringify(name)}: ${JSON.stringify(description)},\n`,
  );
  return `/** The scopes of this service, with their descriptions. */\nexport const scopes = {\n${lines.join("")}} as const;\n\nexport type Scope = keyof typeof scopes;\n`;
}

/** The client sends its token only to these operations. */
function bearer(): string {
  const lines = operationsWith(({ security }) => JSON.stringify(security).includes('"bearerAuth"'));
  return `/** The operations that take a token. */\nexport const bearerOperations: readonly string[] = [\n${lines}];\n`;
}

/** The client sends forms to these operations, and JSON to all others. */
function forms(): string {
  const lines = operationsWith(({ requestBody }) => formType in (requestBody?.content ?? {}));
  return `/** The operations whose body is a form. */\nexport const formOperations: readonly string[] = [\n${lines}];\n`;
}

function operationsWith(test: (operation: Operation) => boolean): string {
  const lines = Object.entries(contract.paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]) =>
      test(operation) ? `  "${method.toUpperCase()} ${path}",\n` : [],
    ),
  );
  return lines.join("");
}
