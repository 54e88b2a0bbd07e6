/**
 * From the contract to inputs: plans of requests, valid, almost valid and hostile (hostile.ts). The first choice of
 * each `oneOf` is the plainest, which is what a failure shrinks to.
 */
import fc, { type Arbitrary } from "fast-check";
import {
  type Api,
  examplesOf,
  isReference,
  kindOf,
  type Operation,
  type Parameter,
  type Schema,
} from "../contract/operations.ts";
import { forgeries } from "../forgedTokens.ts";
import { type Body, type Corruption, type Credentials, json, type Step, type Value } from "../plan.ts";
import {
  credentialHeaders,
  hostileHeaders,
  hostileName,
  hostileQueries,
  hostileSegments,
  hostileText,
  hostileValue,
} from "./hostile.ts";
import { merged, sampleOf } from "./plainest.ts";

const oneOf = <T>(...choices: { weight: number; arbitrary: Arbitrary<T> }[]): Arbitrary<T> =>
  fc.oneof({ withCrossShrink: true }, ...choices);
const choice = <T>(weight: number, arbitrary: Arbitrary<T>) => ({ weight, arbitrary });

/**
 * Values that the schema of a member or a parameter allows, of earlier answers where they give such. The examples come
 * first: a failure shrinks to them.
 */
function valid(api: Api, name: string, schema: Schema, examples: unknown[] = []): Arbitrary<Value> {
  const resolved = merged(api, schema);
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
  const example = fc.constantFrom(...(known.length > 0 ? known : [sampleOf(api, resolved)]).map(json));
  const returned = fc.nat({ max: 5 }).map((pick): Value => ({ returned: name, pick, otherwise: known[0] }));
  const isGiven =
    ["username", "password"].includes(kindOf(name)) ||
    api.operations.some(({ returnedKinds }) => returnedKinds.has(kindOf(name)));
  // What makes a new user must be new; what refers to something is best something that is there.
  const isNew = /^(username|password|new_password)$/.test(name);
  const isWanted = isReference(name) && !isNew;
  return oneOf(
    ...(isGiven && isWanted ? [choice(12, returned)] : []),
    choice(isWanted || isNew ? 3 : 12, example),
    choice(2, fresh.map(json)),
    ...(isGiven && isNew ? [choice(1, returned)] : []),
  );
}

/** Numbers, booleans and texts within the bounds of their schema. */
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
    const texts = matching(pattern);
    return texts ? texts.filter((text) => text.length >= minLength && text.length <= maxLength) : fc.constant("x");
  }
  return fc.string({
    unit: "grapheme-ascii",
    minLength: shortest,
    maxLength: Math.max(shortest, Math.min(maxLength, 60)),
  });
}

/** Texts of a pattern, where fast-check can make them. */
function matching(pattern: string): Arbitrary<string> | undefined {
  try {
    return fc.stringMatching(new RegExp(pattern, "u"), { maxLength: 80 });
  } catch {
    return undefined; // a look-ahead, for example: the examples have to do
  }
}

/** An example with its members apart: some of them become this run's own. */
const membersOf = (example: unknown): Value =>
  typeof example === "object" && example !== null && !Array.isArray(example)
    ? { members: Object.entries(example).map(([name, value]) => [name, json(value)]) }
    : json(example);

/** A body of the schema, with a member missing, added, of another type or too long, now and then. */
function body(api: Api, { body }: Operation): Arbitrary<Body | undefined> {
  const types = (type: string) =>
    oneOf<string[]>(
      choice(12, fc.constant([type])),
      choice(
        2,
        fc.constantFrom<string[]>(
          [],
          [`${type}; charset=UTF-8`],
          [`${type}; charset=utf-16`],
          [`${type};charset=latin1`],
          ["text/plain"],
          [type.toUpperCase()],
          [`${type}; x=";charset=utf-16"`],
          ["multipart/form-data; boundary=x"],
          ["application/x-www-form-urlencoded"],
          [type, type],
          [`${type}, text/plain`],
          ["\u00ff"],
          [""],
        ),
      ),
    );
  const corruption = oneOf<Corruption | undefined>(
    choice(16, fc.constant(undefined)),
    choice(
      2,
      fc.oneof<Arbitrary<Corruption>[]>(
        fc.nat({ max: 80 }).map((at) => ({ kind: "cut", at })),
        fc
          .tuple(
            fc.nat({ max: 60 }),
            fc.constantFrom<number[][]>(
              [0xff],
              [0xc0, 0x80],
              [0xed, 0xa0, 0x80],
              [0],
              [0xef, 0xbb, 0xbf],
              [0x5c],
              [0x7d],
            ),
          )
          .map(([at, bytes]) => ({ kind: "bytes", at, bytes })),
        fc.constantFrom(16_383, 16_384, 16_385, 40_000).map((to) => ({ kind: "padded", to })),
        fc
          .constantFrom("", " ", "null", "0", '"x"', "[]", "{}", "{", "{}{}", "{'a':1}", "a=1&b=2", "<a/>", "\ufeff{}")
          .map((text) => ({ kind: "replaced", text })),
        fc.constant({ kind: "utf-16" }),
      ),
    ),
  );
  if (!body) {
    const surprising = fc.record<Body>({ value: hostileValue, types: types("application/json"), corruption });
    return oneOf<Body | undefined>(choice(15, fc.constant(undefined)), choice(1, surprising));
  }
  const schema = merged(api, body.schema);
  const members = Object.entries(schema.properties ?? {}).map(([name, of]) =>
    oneOf<[string, Value] | undefined>(
      choice(
        16,
        valid(api, name, of).map((value) => [name, value]),
      ),
      choice(
        2,
        hostileText.map((text) => [name, json(text)]),
      ),
      choice(
        1,
        hostileValue.map((value) => [name, value]),
      ),
      choice(1, fc.constant(undefined)),
    ),
  );
  const extra = oneOf<[string, Value][]>(
    choice(8, fc.constant([])),
    choice(1, fc.array(fc.tuple(hostileName, hostileValue), { minLength: 1, maxLength: 3 })),
  );
  const object = fc
    .tuple(fc.tuple(...members), extra)
    .map(([own, others]): Value => ({ members: [...own.filter((member) => member !== undefined), ...others] }));
  const isObject = schema.properties !== undefined;
  const value = oneOf<Value>(
    choice(16, isObject ? object : valid(api, "", schema, body.examples)),
    ...(body.examples.length > 0 ? [choice(2, fc.constantFrom(...body.examples.map(membersOf)))] : []),
    choice(1, hostileValue),
    choice(
      1,
      object.map((inner) => ({ items: [inner] })),
    ),
  );
  return oneOf<Body | undefined>(
    choice(30, fc.record({ value, types: types(body.type), corruption })),
    choice(1, fc.constant(undefined)),
  );
}

function credentials({ schemes }: Operation): Arbitrary<Credentials> {
  const pick = fc.nat({ max: 5 });
  const as = fc.constantFrom<"bearer" | "basic">("bearer", "basic");
  const password = fc.record({ kind: fc.constant("password" as const), pick, typed: fc.boolean() });
  const token = fc.record({ kind: fc.constant("token" as const), pick, as });
  const latin1 = fc
    .string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((unit) => String.fromCharCode(unit)) })
    .map((text) => text.replaceAll("\u007f", "")); // which Node would not send
  const none = fc.constant<Credentials>({ kind: "none" });
  const some: { weight: number; arbitrary: Arbitrary<Credentials> }[] = [
    choice(schemes.includes("basic") ? (schemes.includes("bearer") ? 4 : 12) : 1, password),
    choice(schemes.includes("bearer") ? 12 : 2, token),
    choice(2, fc.record({ kind: fc.constant("wrong password" as const), pick, password: hostileText })),
    choice(2, fc.record({ kind: fc.constant("forged token" as const), pick, how: fc.nat({ max: forgeries - 1 }), as })),
    choice(1, fc.record({ kind: fc.constant("expired token" as const), as })),
    choice(
      1,
      fc.constantFrom(...credentialHeaders).map((headers) => ({ kind: "raw" as const, headers })),
    ),
    choice(
      1,
      latin1.map((text) => ({ kind: "raw" as const, headers: [text.trim()] })),
    ),
  ];
  // Nested, since a failure shrinks to a first choice only: to none where it can, else to a password.
  const weight = some.reduce((sum, one) => sum + one.weight, 0);
  return oneOf(choice(schemes.length === 0 ? 20 : 2, none), choice(weight, oneOf(...some)));
}

function path(api: Api, operation: Operation): Arbitrary<Step["path"]> {
  const parameters = operation.parameters.filter((parameter) => parameter.in === "path");
  const segment = ({ name, schema, examples }: Parameter) =>
    oneOf<Step["path"][string]>(
      choice(
        10,
        valid(api, name, schema, examples).map((value) => ({ value, spelling: "plain" as const })),
      ),
      choice(
        2,
        fc.record({
          value: valid(api, name, schema, examples),
          spelling: fc.constantFrom<("upper" | "urn" | "escaped")[]>("upper", "urn", "escaped"),
        }),
      ),
      choice(
        1,
        hostileText.map((text) => ({ value: json(text), spelling: "plain" as const })),
      ),
      choice(
        1,
        fc.constantFrom(...hostileSegments).map((raw) => ({ raw })),
      ),
    );
  return fc.record(Object.fromEntries(parameters.map((parameter) => [parameter.name, segment(parameter)])));
}

function query(api: Api, operation: Operation): Arbitrary<Step["query"]> {
  const parameters = operation.parameters.filter((parameter) => parameter.in === "query");
  const part = ({ name, schema, examples }: Parameter) =>
    oneOf<Step["query"]>(
      choice(4, fc.constant([])),
      choice(
        4,
        valid(api, name, schema, examples).map((value) => [{ name, value }]),
      ),
      choice(
        1,
        hostileText.map((text) => [{ name, value: json(text) }]),
      ),
      choice(
        1,
        valid(api, name, schema, examples).map((value) => [
          { name, value },
          { name, value },
        ]),
      ),
    );
  return fc.tuple(...parameters.map(part)).map((parts) => parts.flat());
}

function step(api: Api, operation: Operation): Arbitrary<Step> {
  const rarely = <T>(arbitrary: Arbitrary<T>, often: number) =>
    oneOf<T[]>(choice(often, fc.constant([])), choice(1, fc.array(arbitrary, { minLength: 1, maxLength: 2 })));
  return fc.record({
    operation: fc.constant(operation.id),
    method: oneOf(
      choice(24, fc.constant(operation.method)),
      choice(1, fc.constantFrom(..."GET HEAD POST PUT PATCH DELETE OPTIONS TRACE PROPFIND QUERY FOO get".split(" "))),
    ),
    credentials: credentials(operation),
    path: path(api, operation),
    query: query(api, operation),
    rawQuery: rarely(fc.constantFrom(...hostileQueries), 16),
    headers: rarely(fc.constantFrom(...hostileHeaders), 4),
    body: body(api, operation),
  });
}

/** Runs of steps. Those that know who is calling, or that take a body, are most of what there is to find. */
export function sequences(api: Api): Arbitrary<Step[]> {
  const steps = api.operations.map((operation) =>
    choice(operation.schemes.length > 0 || operation.body ? 6 : 1, step(api, operation)),
  );
  return fc.array(fc.oneof(...steps), { maxLength: 12, size: "max" });
}
