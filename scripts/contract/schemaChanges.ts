/**
 * Compares the values that two JSON Schemas allow. A schema is a conjunction: itself and the members of its `allOf`.
 * Each keyword is compared over all of them. If a schema has a keyword that this code does not understand, any
 * difference counts as `replaced`, so that no breaking change is overlooked.
 */
import { isDeepStrictEqual } from "node:util";
import { annotations } from "./dereference.ts";

/** Fewer values are allowed, more, others, or the same ones (with a new default or deprecation). */
type Effect = "narrowed" | "widened" | "replaced" | "noted";
export type SchemaChange = { path: string; effect: Effect; text: string };
/** The parts of a conjunction: a value must satisfy each. References are resolved, so objects can be circular. */
export type Schema = Part[];
type Part = Record<string, unknown>;

const nothing: Part = { not: {} };

/** Combines schemas that all apply. `undefined` allows everything. */
export function readSchema(...schemas: unknown[]): Schema {
  const parts = new Set<Part>();
  const add = (schema: unknown) => {
    if (schema === undefined || schema === true) return;
    const part = schema === false ? nothing : (schema as Part);
    if (parts.has(part)) return;
    parts.add(part);
    for (const member of (part["allOf"] as unknown[] | undefined) ?? []) add(member);
  };
  schemas.forEach(add);
  return [...parts];
}

/**
 * Compares two schemas.
 * @param path the name of the compared value in the result, such as `body.username`
 * @param within the comparisons in progress, so that recursive schemas terminate
 */
export function schemaChanges(
  before: Schema,
  after: Schema,
  path: string,
  within: (readonly [Schema, Schema])[] = [],
): SchemaChange[] {
  if (within.some(([from, to]) => isSame(from, before) && isSame(to, after))) return [];
  const change = (effect: Effect, text: string): SchemaChange => ({ path, effect, text });
  const wasAllowed = !before.includes(nothing);
  const isAllowed = !after.includes(nothing);
  if (!wasAllowed) return isAllowed ? [change("widened", "was added")] : [];
  // Not `narrowed`: code that uses the member of a generated client would no longer compile.
  if (!isAllowed) return [change("replaced", "was removed")];
  if (![...before, ...after].every(isUnderstood)) {
    const isEqual = isDeepStrictEqual(bare(before), bare(after));
    return isEqual ? [] : [change("replaced", "changed in a way that this tool does not understand")];
  }
  const inside = (from: Schema, to: Schema, name: string) =>
    schemaChanges(from, to, path + name, [...within, [before, after]]);
  const insideAll = (keyword: string, name: string) =>
    inside(readSchema(...valuesOf(before, keyword)), readSchema(...valuesOf(after, keyword)), name);
  return [
    ...valueChanges(before, after, change),
    ...keywordChanges(before, after, change),
    ...requirementChanges(before, after).map((found) => ({ ...found, path: path + found.path })),
    ...memberNames(before, after).flatMap((name) => inside(member(before, name), member(after, name), `.${name}`)),
    ...insideAll("additionalProperties", ".*"),
    ...insideAll("items", "[]"),
  ];
}

const isSame = (a: Schema, b: Schema) => a.length === b.length && a.every((part) => b.includes(part));
const valuesOf = (schema: Schema, keyword: string) =>
  schema.map((part) => part[keyword]).filter((value) => value !== undefined);
const without = <T>(values: T[], others: T[]) => values.filter((value) => !others.includes(value));
const intersection = (sets: string[][]) =>
  sets.reduce((some, others) => some.filter((value) => others.includes(value)));

type ToChange = (effect: Effect, text: string) => SchemaChange;

function valueChanges(before: Schema, after: Schema, change: ToChange): SchemaChange[] {
  const inSets = (from: string[], to: string[]) => [
    ...without(from, to).map((value) => change("narrowed", `can no longer be ${value}`)),
    ...without(to, from).map((value) => change("widened", `can now be ${value}`)),
  ];
  const [from, to] = [listed(before), listed(after)];
  const ofTypes = inSets(types(before), types(after));
  if (from && to) return [...ofTypes, ...inSets(from, to)];
  if (to) return [...ofTypes, change("narrowed", `can now only be ${to.join(" or ")}`)];
  if (from) return [...ofTypes, change("widened", `can now be other than ${from.join(" or ")}`)];
  return ofTypes;
}

const everyType = ["null", "boolean", "object", "array", "number", "integer", "string"];
const types = (schema: Schema): string[] => {
  const lists = valuesOf(schema, "type").map((type) => [type].flat() as string[]);
  // Every integer is a number.
  return intersection([everyType, ...lists.map((list) => (list.includes("number") ? [...list, "integer"] : list))]);
};

/** The values of `enum` or `const`, as JSON. */
function listed(schema: Schema): string[] | undefined {
  const lists = [...valuesOf(schema, "enum"), ...valuesOf(schema, "const").map((value) => [value])] as unknown[][];
  return lists.length > 0 ? intersection(lists.map((list) => list.map((value) => JSON.stringify(value)))) : undefined;
}

type Compare = (before: unknown[], after: unknown[]) => Effect | undefined;

const lowerBound =
  (least: number): Compare =>
  (before, after) => {
    const [from, to] = [Math.max(least, ...before.map(Number)), Math.max(least, ...after.map(Number))];
    return from === to ? undefined : to > from ? "narrowed" : "widened";
  };
const upperBound: Compare = (before, after) => {
  const [from, to] = [Math.min(...before.map(Number)), Math.min(...after.map(Number))];
  return from === to ? undefined : to < from ? "narrowed" : "widened";
};
/** It is unknown whether one condition implies another. Fewer conditions allow more values. */
const conditions: Compare = (before, after) => {
  const [removed, added] = [without(before, after), without(after, before)];
  if (removed.length > 0 && added.length > 0) return "replaced";
  return removed.length > 0 ? "widened" : added.length > 0 ? "narrowed" : undefined;
};
const notice: Compare = (before, after) => (isDeepStrictEqual(before, after) ? undefined : "noted");

const keywords: Record<string, Compare> = {
  minLength: lowerBound(0),
  minItems: lowerBound(0),
  minProperties: lowerBound(0),
  minimum: lowerBound(-Infinity),
  exclusiveMinimum: lowerBound(-Infinity),
  maxLength: upperBound,
  maxItems: upperBound,
  maxProperties: upperBound,
  maximum: upperBound,
  exclusiveMaximum: upperBound,
  pattern: conditions,
  format: conditions,
  multipleOf: conditions,
  uniqueItems: conditions,
  default: notice,
  deprecated: notice,
};

function keywordChanges(before: Schema, after: Schema, change: ToChange): SchemaChange[] {
  return Object.entries(keywords).flatMap(([keyword, compare]) => {
    const [from, to] = [valuesOf(before, keyword), valuesOf(after, keyword)];
    const effect = compare(from, to);
    return effect ? [change(effect, `has ${keyword} ${shown(to)}, had ${shown(from)}`)] : [];
  });
}

const shown = (values: unknown[]) => values.map((value) => JSON.stringify(value)).join(" and ") || "none";

function requirementChanges(before: Schema, after: Schema): SchemaChange[] {
  const [from, to] = [valuesOf(before, "required").flat() as string[], valuesOf(after, "required").flat() as string[]];
  const dropped = without(from, to).filter((name) => !member(after, name).includes(nothing));
  return [
    ...dropped.map((name): SchemaChange => ({ path: `.${name}`, effect: "widened", text: "is now optional" })),
    ...without(to, from).map(
      (name): SchemaChange => ({ path: `.${name}`, effect: "narrowed", text: "is now required" }),
    ),
  ];
}

const properties = (part: Part) => (part["properties"] ?? {}) as Record<string, unknown>;
const memberNames = (...schemas: Schema[]) => [
  ...new Set(schemas.flat().flatMap((part) => Object.keys(properties(part)))),
];
/** The schema of a member: its own, or else `additionalProperties`. */
const member = (schema: Schema, name: string) =>
  readSchema(
    ...schema.map((part) =>
      Object.hasOwn(properties(part), name) ? properties(part)[name] : part["additionalProperties"],
    ),
  );

const structure = ["allOf", "type", "enum", "const", "required", "properties", "additionalProperties", "items"];
const understood = new Set([...structure, ...Object.keys(keywords), ...annotations]);
const isUnderstood = (part: Part) => Object.keys(part).every((keyword) => understood.has(keyword));

const named = ["properties", "patternProperties", "dependentSchemas", "$defs"];
const data = ["enum", "const", "default", "required", "dependentRequired"];

/** Copies a part of a contract without annotations. A circular reference becomes the number of levels that it goes up. */
export function bare(value: unknown, within: unknown[] = []): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (within.includes(value)) return { up: within.length - within.indexOf(value) };
  const inside = (inner: unknown) => bare(inner, [...within, value]);
  if (Array.isArray(value)) return value.map(inside);
  const entries = Object.entries(value).filter(([key]) => !annotations.includes(key));
  return Object.fromEntries(
    entries.map(([key, inner]) => {
      if (data.includes(key)) return [key, inner];
      if (!named.includes(key)) return [key, inside(inner)];
      return [key, Object.fromEntries(Object.entries(inner as object).map(([name, each]) => [name, inside(each)]))];
    }),
  );
}
