/** Valid values of a schema. */
import fc, { type Arbitrary } from "fast-check";
import { type Api, examplesOf, isReference, kindOf, type Schema } from "../contract/operations.ts";
import { json, type Value } from "../plan.ts";
import { exampleValue, mergeAllOf } from "./simplest.ts";

/** Like fc.oneof. A failure shrinks to the first choice, so that it should be the simplest. */
export const oneOf = <T>(...choices: { weight: number; arbitrary: Arbitrary<T> }[]): Arbitrary<T> =>
  fc.oneof({ withCrossShrink: true }, ...choices);
export const choice = <T>(weight: number, arbitrary: Arbitrary<T>) => ({ weight, arbitrary });

/**
 * Values that the schema of a member or parameter allows, or that an earlier response returned. The examples come first,
 * so that a failure shrinks to them.
 */
export function valid(api: Api, name: string, schema: Schema, examples: unknown[] = []): Arbitrary<Value> {
  const resolved = mergeAllOf(api, schema);
  const { type, properties, items } = resolved;
  if (resolved.const !== undefined) return fc.constant(json(resolved.const));
  if (resolved.enum) return fc.constantFrom(...resolved.enum.map(json));
  const alternatives = resolved.oneOf ?? resolved.anyOf;
  if (alternatives) return fc.oneof(...alternatives.map((alternative) => valid(api, name, alternative)));
  const types = [type ?? (properties ? "object" : "string")].flat();
  if (types.includes("object")) {
    const members = Object.entries(properties ?? {}).map(([member, of]) =>
      valid(api, member, of).map((value): [string, Value] => [member, value]),
    );
    return fc.tuple(...members).map((members) => ({ members }));
  }
  if (types.includes("array")) {
    const minLength = resolved.minItems ?? 0;
    const maxLength = Math.max(minLength, Math.min(resolved.maxItems ?? 3, minLength + 3));
    return fc.array(valid(api, name, items ?? {}), { minLength, maxLength }).map((values) => ({ items: values }));
  }
  const fresh = scalar(types, resolved);
  const known = [...examples, ...examplesOf(resolved), ...(resolved.default !== undefined ? [resolved.default] : [])];
  const example = fc.constantFrom(...(known.length > 0 ? known : [exampleValue(api, resolved)]).map(json));
  const returned = fc.nat({ max: 5 }).map((pick): Value => ({ returned: name, pick, otherwise: known[0] }));
  const isGiven =
    ["username", "password"].includes(kindOf(name)) ||
    api.operations.some(({ returnedKinds }) => returnedKinds.has(kindOf(name)));
  // A new user needs new values. A reference should refer to something that exists.
  const isNew = /^(username|password|new_password)$/.test(name);
  const isWanted = isReference(name) && !isNew;
  return oneOf(
    ...(isGiven && isWanted ? [choice(12, returned)] : []),
    choice(isWanted || isNew ? 3 : 12, example),
    choice(2, fresh.map(json)),
    ...(isGiven && isNew ? [choice(1, returned)] : []),
  );
}

/** Numbers, booleans and strings within the bounds of their schema. */
function scalar(types: string[], schema: Schema): Arbitrary<unknown> {
  const { format, pattern, minLength = 0, maxLength = 40 } = schema;
  if (types.includes("integer") || types.includes("number")) {
    const min = Math.ceil(schema.minimum ?? Math.min(0, schema.maximum ?? 0));
    return fc.integer({ min, max: Math.max(min, Math.floor(schema.maximum ?? min + 1000)) });
  }
  if (types.includes("boolean")) return fc.boolean();
  if (format === "uuid") return fc.uuid();
  if (format === "date-time" || format === "date") {
    const instants = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) });
    return instants.map((date) => (format === "date" ? date.toISOString().slice(0, 10) : date.toISOString()));
  }
  const shortest = Math.max(minLength, 1);
  if (pattern !== undefined) {
    // fast-check rarely makes longer texts than `longestMatch`, so that a filter would reject them for minutes.
    const texts = minLength <= longestMatch ? matching(pattern) : undefined;
    const [example = "x"] = examplesOf(schema);
    return texts?.filter((text) => text.length >= minLength && text.length <= maxLength) ?? fc.constant(example);
  }
  return fc.string({
    unit: "grapheme-ascii",
    minLength: shortest,
    maxLength: Math.max(shortest, Math.min(maxLength, 60)),
  });
}

/** Characters of the longest string that `matching` makes. */
const longestMatch = 80;

/** Strings that match a pattern, if fast-check can make them. */
function matching(pattern: string): Arbitrary<string> | undefined {
  try {
    return fc.stringMatching(new RegExp(pattern, "u"), { maxLength: longestMatch });
  } catch {
    return undefined; // fast-check does not support look-aheads, for example
  }
}
