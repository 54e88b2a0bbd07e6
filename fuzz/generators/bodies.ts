/** Request bodies. */
import fc, { type Arbitrary } from "fast-check";
import type { Api, Operation } from "../contract/operations.ts";
import { type Body, type Corruption, json, type Value } from "../plan.ts";
import { hostileName, hostileText, hostileValue } from "./hostile.ts";
import { mergeAllOf } from "./simplest.ts";
import { choice, oneOf, valid } from "./values.ts";

/** Mostly the declared Content-Type, once. */
export const bodyTypes = (type: string) =>
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
        ["application/json"],
        [type, type],
        [`${type}, text/plain`],
        ["\u00ff"],
        [""],
      ),
    ),
  );
/** Mostly none. */
export const corruption = oneOf<Corruption | undefined>(
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
        .constantFrom(
          "token=a&token=b",
          "token=%zz",
          "token=%ed%a0%80",
          "token=%00",
          "%00=",
          "&&=&",
          "",
          " ",
          "null",
          "0",
          '"x"',
          "[]",
          "{}",
          "{",
          "{}{}",
          "{'a':1}",
          "a=1&b=2",
          "<a/>",
          "\ufeff{}",
        )
        .map((text) => ({ kind: "replaced", text })),
      fc.constant({ kind: "utf-16" }),
    ),
  ),
);
/** An example with separate members, so that play.ts can replace some of them. */
const membersOf = (example: unknown): Value =>
  typeof example === "object" && example !== null && !Array.isArray(example)
    ? { members: Object.entries(example).map(([name, value]) => [name, json(value)]) }
    : json(example);

/** Bodies of the schema. Some lack a member, have an undeclared one, a wrong type or length, or corrupt bytes. */
export function body(api: Api, { body }: Operation): Arbitrary<Body | undefined> {
  if (!body) {
    const surprising = fc.record<Body>({ value: hostileValue, types: bodyTypes("application/json"), corruption });
    return oneOf<Body | undefined>(choice(15, fc.constant(undefined)), choice(1, surprising));
  }
  const schema = mergeAllOf(api, body.schema);
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
    choice(30, fc.record({ value, types: bodyTypes(body.type), corruption })),
    choice(1, fc.constant(undefined)),
  );
}
