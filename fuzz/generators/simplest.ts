/** The simplest request of an operation that should succeed, made of examples of the contract and earlier responses. */
import {
  type Api,
  examplesOf,
  kindOf,
  needsRights,
  type Operation,
  refers,
  type Schema,
  sourcesOf,
} from "../contract/operations.ts";
import type { Credentials, Step, Value } from "../plan.ts";

/** @param unique a part of the username of a new user */
export function simplestStep(api: Api, operation: Operation, unique: string): Step {
  const isRegistration = operation === api.registration;
  const value = (name: string, schema: Schema, examples: unknown[]): Value => {
    const [example = exampleValue(api, schema)] = [...examples, ...examplesOf(api.resolve(schema))];
    if (isRegistration) return { json: kindOf(name) === "username" ? `${String(example)}.${unique}.` : example };
    const isKnown = refers(api, operation, name) || name === "current_password";
    if (!isKnown || (sourcesOf(api, operation, name).length === 0 && kindOf(name) !== "password"))
      return { json: example };
    return { returned: name, pick: 0, otherwise: example };
  };
  const token: Credentials = { kind: "token", pick: 0, as: "bearer" };
  const password: Credentials = { kind: "password", pick: 0, typed: false };
  const { usualSchemes: schemes, parameters, body } = operation;
  const required = parameters.filter((parameter) => parameter.in === "path" || parameter.required);
  const named = (place: string) =>
    required
      .filter((parameter) => parameter.in === place)
      .map(({ name, schema, examples }) => ({ name, value: value(name, schema, examples) }));
  const text = (one: Value) => String("otherwise" in one ? one.otherwise : "json" in one ? one.json : "");
  return {
    operation: operation.id,
    method: operation.method,
    credentials: credentialsOf(),
    path: Object.fromEntries(named("path").map(({ name, value }) => [name, { value, spelling: "plain" as const }])),
    query: named("query"),
    rawQuery: [],
    headers: named("header").map(({ name, value }): [string, string] => [name, text(value)]),
    body: body && { value: bodyValue(body), types: [body.type], corruption: undefined },
  };

  function credentialsOf(): Credentials {
    if (needsRights(operation)) return { kind: "administrator" };
    return schemes.length === 0 ? { kind: "none" } : schemes.includes("basic") ? password : token;
  }

  function bodyValue({ schema, examples }: NonNullable<Operation["body"]>): Value {
    const { properties = {} } = mergeAllOf(api, schema);
    const [example = exampleValue(api, schema)] = examples;
    if (typeof example !== "object" || example === null || Array.isArray(example)) return { json: example };
    return {
      members: Object.entries(example).map(([name, of]) => [name, value(name, properties[name] ?? {}, [of])]),
    };
  }
}

/** Merges a schema with the parts of its `allOf`. */
export function mergeAllOf(api: Api, schema: Schema): Schema {
  const resolved = api.resolve(schema);
  const parts = (resolved.allOf ?? []).map((part) => mergeAllOf(api, part));
  if (parts.length === 0) return resolved;
  const { allOf: _, ...own } = resolved;
  return Object.assign({}, ...parts, own, {
    properties: Object.assign({}, ...parts.map((part) => part.properties), own.properties),
    required: [...parts.flatMap((part) => part.required ?? []), ...(own.required ?? [])],
  });
}

/** Returns the example of a schema, or another value that it allows. */
export function exampleValue(api: Api, schema: Schema, depth = 0): unknown {
  const whole = mergeAllOf(api, schema);
  const [example] = [...examplesOf(whole), ...(whole.default !== undefined ? [whole.default] : [])];
  if (whole.const !== undefined) return whole.const;
  if (example !== undefined) return example;
  if (whole.enum) return whole.enum[0];
  const [alternative] = whole.oneOf ?? whole.anyOf ?? [];
  if (alternative && depth < 8) return exampleValue(api, alternative, depth + 1);
  const [type = whole.properties ? "object" : "string"] = [whole.type ?? []].flat();
  const { minimum = 0, minItems = 0, minLength = 1, properties = {}, required = [], items } = whole;
  if (type === "object") {
    const members = required.map((name) => [name, exampleValue(api, properties[name] ?? {}, depth + 1)]);
    return Object.fromEntries(members);
  }
  if (type === "array")
    return Array.from({ length: depth < 8 ? minItems : 0 }, () => exampleValue(api, items ?? {}, depth + 1));
  if (type === "integer" || type === "number") return minimum;
  if (type === "boolean") return true;
  return type === "null" ? null : "x".repeat(minLength);
}
