/**
 * What a change of a JSON Schema does to the values that it allows. A schema is read as the
 * conjunction that it is: itself and the members of its `allOf` side by side, each keyword compared
 * over all of them. Where there is a keyword that is not understood here, any difference counts as
 * one that allows other values: nothing is compatible because it was overlooked.
 */
import { isDeepStrictEqual } from "node:util";
import { annotations } from "./dereference.ts";

/** Fewer values are allowed, or more, or others, or the same with another default or notice. */
type Effect = "narrowed" | "widened" | "replaced" | "noted";
export type SchemaChange = { place: string; effect: Effect; text: string };
/** The parts of a conjunction: a value has to satisfy each. Without references, perhaps circular. */
export type Schema = Part[];
type Part = Record<string, unknown>;

const nothing: Part = { not: {} };

/** Reads schemas that hold together. `undefined`, where there is none, allows everything. */
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
 * @param place what the changes are said to be about
 * @param within what is being compared already, so that recursive schemas come to an end
 */
export function schemaChanges(
  before: Schema,
  after: Schema,
  place: string,
  within: (readonly [Schema, Schema])[] = [],
): SchemaChange[] {
  if (within.some(([from, to]) => isSame(from, before) && isSame(to, after))) return [];
  const change = (effect: Effect, text: string): SchemaChange => ({ place, effect, text });
  const wasAllowed = !before.includes(nothing);
  const isAllowed = !after.includes(nothing);
  if (!wasAllowed) return isAllowed ? [change("widened", "is new")] : [];
  // Not only narrowed: generated clients have it by name, and those that read it no longer compile.
  if (!isAllowed) return [change("replaced", "is gone")];
  if (![...before, ...after].every(isUnderstood)) {
    const isEqual = isDeepStrictEqual(bare(before), bare(after));
    return isEqual ? [] : [change("replaced", "is changed in a way that is not understood")];
  }
  const inside = (from: Schema, to: Schema, name: string) =>
    schemaChanges(from, to, place + name, [...within, [before, after]]);
  const insideAll = (keyword: string, name: string) =>
    inside(readSchema(...said(before, keyword)), readSchema(...said(after, keyword)), name);
  return [
    ...valueChanges(before, after, change),
    ...keywordChanges(before, after, change),
    ...requirementChanges(before, after).map((found) => ({ ...found, place: place + found.place })),
    ...memberNames(before, after).flatMap((name) => inside(member(before, name), member(after, name), `.${name}`)),
    ...insideAll("additionalProperties", ".*"),
    ...insideAll("items", "[]"),
  ];
}

const isSame = (a: Schema, b: Schema) => a.length === b.length && a.every((part) => b.includes(part));
const said = (schema: Schema, keyword: string) =>
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
  const lists = said(schema, "type").map((type) => [type].flat() as string[]);
  // Every integer is a number.
  return intersection([everyType, ...lists.map((list) => (list.includes("number") ? [...list, "integer"] : list))]);
};

/** The values that are listed, by `enum` or `const`. */
function listed(schema: Schema): string[] | undefined {
  const lists = [...said(schema, "enum"), ...said(schema, "const").map((value) => [value])] as unknown[][];
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
/** Whether one condition implies another is not known, only that fewer conditions allow more. */
const conditions: Compare = (before, after) => {
  const [gone, added] = [without(before, after), without(after, before)];
  if (gone.length > 0 && added.length > 0) return "replaced";
  return gone.length > 0 ? "widened" : added.length > 0 ? "narrowed" : undefined;
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
    const [from, to] = [said(before, keyword), said(after, keyword)];
    const effect = compare(from, to);
    return effect ? [change(effect, `has ${keyword} ${shown(to)}, had ${shown(from)}`)] : [];
  });
}

const shown = (values: unknown[]) => values.map((value) => JSON.stringify(value)).join(" and ") || "none";

function requirementChanges(before: Schema, after: Schema): SchemaChange[] {
  const [from, to] = [said(before, "required").flat() as string[], said(after, "required").flat() as string[]];
  const dropped = without(from, to).filter((name) => !member(after, name).includes(nothing));
  return [
    ...dropped.map((name): SchemaChange => ({ place: `.${name}`, effect: "widened", text: "is now optional" })),
    ...without(to, from).map(
      (name): SchemaChange => ({ place: `.${name}`, effect: "narrowed", text: "is now required" }),
    ),
  ];
}

const properties = (part: Part) => (part["properties"] ?? {}) as Record<string, unknown>;
const memberNames = (...schemas: Schema[]) => [
  ...new Set(schemas.flat().flatMap((part) => Object.keys(properties(part)))),
];
/** What a member has to be: what is said of it by name, or else of all that are not named. */
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

/** A part of a contract without what only explains it; what leads back to where it stands, by how far up that is. */
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
