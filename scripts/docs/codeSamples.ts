/**
 * Code samples for each operation, made only from the contract: method, path, security, and the examples of parameters and
 * body. Members with the format `password` are read from the environment variable of the same name.
 * test/project/codeSamples.test.ts runs all samples.
 */
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { type Contract, exampleOf, membersOf, type Operation, resolve, type Schema } from "./contract.ts";
import { type Call, curl, formType, go, javascript, python, Variable } from "./sampleLanguages.ts";

/** In the order of the page. */
const languages = [
  { lang: "bash", label: "curl", write: curl, comment: "#" },
  { lang: "javascript", label: "JavaScript", write: javascript, comment: "//" },
  { lang: "python", label: "Python", write: python, comment: "#" },
  { lang: "go", label: "Go", write: go, comment: "//" },
];

export function codeSamples(contract: Contract, method: string, path: string, operation: Operation) {
  const call: Call = {
    method: method.toUpperCase(),
    url: sampleOrigin + target(contract, path, operation),
    credential: credentialOf(operation),
    headers: headersOf(contract, operation),
    body: bodyOf(contract, operation),
    answer: answerOf(contract, operation),
  };
  const scopes = call.credential && scopesOf(operation);
  return languages.map(({ lang, label, write, comment }) => {
    const required = scopes && `${comment} Requires the scope ${scopes.join(" and ")}.\n`;
    return { lang, label, source: `${required ?? ""}${write(call)}` };
  });
}

/** Returns the scopes that an operation requires with each of its schemes, if any. */
function scopesOf({ security }: Operation): string[] | undefined {
  const scopes = Object.values(security[0] ?? {}).flat();
  return scopes.length > 0 ? scopes : undefined;
}

/** The path with the examples of its parameters, and with the required query parameters. */
function target(contract: Contract, path: string, { parameters = [] }: Operation): string {
  const known = parameters.map((parameter) => resolve(contract, parameter));
  const query = new URLSearchParams();
  for (const parameter of known) {
    if (parameter.in === "query" && parameter.required)
      query.set(parameter.name, String(exampleOf(contract, parameter)));
  }
  const filled = path.replace(/\{(.+?)\}/g, (_, wanted) => {
    const parameter = known.find(({ name, in: place }) => name === wanted && place === "path");
    return encodeURIComponent(String(parameter && exampleOf(contract, parameter)));
  });
  return query.size > 0 ? `${filled}?${query}` : filled;
}

/** A token if the operation accepts one: programs should prefer it. None if its first alternative is that it does not need any. */
function credentialOf({ security }: Operation): Call["credential"] {
  if (Object.keys(security[0] ?? {}).length === 0) return undefined;
  const schemes = security.flatMap(Object.keys);
  return schemes.includes("bearerAuth") ? "token" : schemes.includes("basicAuth") ? "password" : undefined;
}

/** The example of the body, unless it may be omitted. */
function bodyOf(contract: Contract, { operationId, requestBody }: Operation): Call["body"] {
  if (!requestBody || !resolve(contract, requestBody).required) return undefined;
  const [[type, content] = ["", {}]] = Object.entries(resolve(contract, requestBody).content);
  const example = exampleOf(contract, content);
  const value = withoutSecrets(contract, example, content.schema ?? {}, "");
  if (example === undefined || !(/[/+]json$/.test(type) || (type === formType && isForm(value)))) {
    throw new Error(`${operationId}: a code sample needs a JSON body or a form without secrets, with an example.`);
  }
  return { type, value };
}

/** Whether a value is an object of texts. */
const isForm = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.values(value).every((text) => typeof text === "string");

/** Replaces the secrets of an example by variables. */
function withoutSecrets(contract: Contract, value: unknown, schema: Schema, name: string): unknown {
  if (resolve(contract, schema).format === "password") return new Variable(name.toUpperCase());
  const items = resolve(contract, schema).items ?? {};
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(contract, item, items, name));
  if (typeof value !== "object" || value === null) return value;
  const members = membersOf(contract, schema);
  return Object.fromEntries(
    Object.entries(value).map(([member, of]) => [member, withoutSecrets(contract, of, members[member] ?? {}, member)]),
  );
}

/** The required headers. */
function headersOf(contract: Contract, { parameters = [] }: Operation): Record<string, string> {
  const known = parameters.map((parameter) => resolve(contract, parameter));
  const required = known.filter(({ in: place, required }) => place === "header" && required);
  return Object.fromEntries(required.map((parameter) => [parameter.name, String(exampleOf(contract, parameter))]));
}

function answerOf(contract: Contract, { responses }: Operation): Call["answer"] {
  const [, success = { description: "" }] = Object.entries(responses).find(([status]) => status.startsWith("2")) ?? [];
  const [type] = Object.keys(resolve(contract, success).content ?? {});
  return type === undefined ? "nothing" : type.endsWith("json") ? "json" : "text";
}
