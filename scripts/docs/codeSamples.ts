/**
 * Code samples of each operation, made of nothing but the contract: its method, path, security and the examples of
 * its parameters and body. A secret comes from the environment: what has the format `password` there, from the
 * variable of its own name. test/codeSamples.test.ts runs them all.
 */
import { sampleOrigin } from "../../src/documentation/pages.ts";
import { type Contract, type Operation, resolve } from "./contract.ts";
import { type Call, curl, go, javascript, python, Variable } from "./sampleLanguages.ts";

/** In the order in which they are offered. */
const languages = [
  { lang: "bash", label: "curl", write: curl },
  { lang: "javascript", label: "JavaScript", write: javascript },
  { lang: "python", label: "Python", write: python },
  { lang: "go", label: "Go", write: go },
];

export function codeSamples(contract: Contract, method: string, path: string, operation: Operation) {
  const call: Call = {
    method: method.toUpperCase(),
    url: sampleOrigin + target(contract, path, operation),
    credential: credentialOf(operation),
    body: bodyOf(contract, operation),
    answer: answerOf(contract, operation),
  };
  return languages.map(({ lang, label, write }) => ({ lang, label, source: write(call) }));
}

/** The path with the examples of its parameters, and of the query only what must be there. */
function target(contract: Contract, path: string, { parameters = [] }: Operation): string {
  const known = parameters.map((parameter) => resolve(contract, parameter));
  const query = new URLSearchParams();
  for (const { in: place, required, name, example } of known) {
    if (place === "query" && required) query.set(name, String(example));
  }
  const filled = path.replace(/\{(.+?)\}/g, (_, wanted) =>
    encodeURIComponent(String(known.find(({ name }) => name === wanted)?.example)),
  );
  return query.size > 0 ? `${filled}?${query}` : filled;
}

/** A token wherever one will do: that is what a program should send. */
function credentialOf({ security }: Operation): Call["credential"] {
  const schemes = security.flatMap(Object.keys);
  return schemes.includes("bearerAuth") ? "token" : schemes.includes("basicAuth") ? "password" : undefined;
}

function bodyOf(contract: Contract, { requestBody }: Operation): Call["body"] {
  if (!requestBody) return undefined;
  const { schema = {}, examples = {} } = resolve(contract, requestBody).content["application/json"] ?? {};
  const { properties = {} } = resolve(contract, schema);
  const [example] = Object.values(examples);
  if (!example) throw new Error("A body without an example cannot be shown.");
  const members = Object.entries(resolve(contract, example).value as Record<string, unknown>);
  return Object.fromEntries(
    members.map(([name, value]) => {
      const secret = resolve(contract, properties[name] ?? {}).format === "password";
      return [name, secret ? new Variable(name.toUpperCase()) : value];
    }),
  );
}

function answerOf(contract: Contract, { responses }: Operation): Call["answer"] {
  const [, success = { description: "" }] = Object.entries(responses).find(([status]) => status.startsWith("2")) ?? [];
  const [type] = Object.keys(resolve(contract, success).content ?? {});
  return type === undefined ? "nothing" : type.endsWith("json") ? "json" : "text";
}
