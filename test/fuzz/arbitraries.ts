/**
 * From the contract to inputs: plans of requests, valid, almost valid and hostile. A plan is plain data, so that
 * fast-check can shrink it; what it asks of earlier answers is filled in when it is played (play.ts). The first
 * choice of each `oneOf` is the plainest, which is what a failure shrinks to.
 */
import fc, { type Arbitrary } from "fast-check";
import { type Api, kindOf, type Operation, type Schema } from "./operations.ts";

/** A JSON value, or how to come by one. */
export type Value =
  | { json: unknown }
  /** Text that stands in the body as it is. */
  | { raw: string }
  /** Something that an earlier answer gave under such a name; the newest is 0. */
  | { given: string; pick: number }
  | { members: [string, Value][] }
  | { items: Value[] };

export type Credentials =
  | { kind: "none" }
  /** Of the users so far, the newest is 0; by the name as it was typed, or as it is kept. */
  | { kind: "password"; pick: number; typed: boolean }
  | { kind: "wrong password"; pick: number; password: string }
  | { kind: "token"; pick: number; as: "bearer" | "basic" }
  | { kind: "forged token"; pick: number; how: number; as: "bearer" | "basic" }
  | { kind: "expired token"; as: "bearer" | "basic" }
  | { kind: "raw"; headers: string[] };

export type Spoil =
  | { kind: "cut"; at: number }
  | { kind: "bytes"; at: number; bytes: number[] }
  | { kind: "padded"; to: number }
  | { kind: "replaced"; text: string }
  | { kind: "utf-16" };

export type Body = { value: Value; types: string[]; spoil: Spoil | undefined };

export type Step = {
  operation: string;
  method: string;
  credentials: Credentials;
  /** Of each parameter of the path: what stands there, and how it is written. */
  path: Record<string, { value: Value; spelling: "plain" | "upper" | "urn" | "escaped" } | { raw: string }>;
  query: { name: string; value: Value }[];
  /** Appended to the query as it is. */
  rawQuery: string[];
  headers: [string, string][];
  body: Body | undefined;
};

const oneOf = <T>(...choices: { weight: number; arbitrary: Arbitrary<T> }[]): Arbitrary<T> =>
  fc.oneof({ withCrossShrink: true }, ...choices);
const choice = <T>(weight: number, arbitrary: Arbitrary<T>) => ({ weight, arbitrary });
const json = (value: unknown): Value => ({ json: value });

const lengths = [1, 7, 8, 63, 64, 65, 127, 128, 129, 255, 256, 257, 2048, 2049, 5000];
const characters = ["x", "é", "e\u0301", "小", "😀", "\u0301", "ß", "א", "\ufdfa", " "];
const traps = [
  ..."\0|\t|\n|\u007f|\u0085|\u009b31m| |\u00a0|\u2028|\ufeff|\ufffd|\ud800|\udfff|a\ud800b|\ufdd0|\u{10ffff}".split(
    "|",
  ),
  ..."\u200d|\u202e|\u0640|\u1100|\u0130|ß|ς|Σ|ﬁ|Ａ|K|l·l|a·a|א1|אa|1א|\u0661\u06f1|क्‍ष|日本・|😀".split("|"),
  ..."__proto__|constructor|toString|hasOwnProperty|null|true|0|-1|1e9|NaN|[object Object]".split("|"),
  ..."../..|%00|%2F|a:b|a/b|a~b|#|?|*|'; DROP TABLE users; --|{{7*7}}|<script>|$argon2id$v=19$m=8,t=1,p=1$".split("|"),
  ..."eyJhbGciOiJub25lIn0.e30.|Password123|password|12345678|correct horse battery|miguel|me|urn:uuid:".split("|"),
  "",
];
const anyUnit = fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
const hostileText: Arbitrary<string> = fc.oneof(
  fc.constantFrom(...traps),
  fc.tuple(fc.constantFrom(...traps), fc.constantFrom(...traps)).map((texts) => texts.join("")),
  fc.tuple(fc.constantFrom(...characters), fc.constantFrom(...lengths)).map(([text, length]) => text.repeat(length)),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: anyUnit, maxLength: 20 }),
);

const deep = (depth: number, open: string, close: string): Value => ({ raw: open.repeat(depth) + close.repeat(depth) });
const hostileValue: Arbitrary<Value> = fc.oneof(
  hostileText.map(json),
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 2 ** 53, [], {}, [[]], { $ref: "#" }, "").map(json),
  fc.jsonValue({ maxDepth: 2 }).map(json),
  fc.constantFrom<Value>(
    ...["1e999", "-0", `1${"0".repeat(400)}`, "1e-999", '"\\ud800"', '"\\u0000"', '{"a":1,"a":2}', "NaN", "01"].map(
      (raw) => ({ raw }),
    ),
    ...[deep(50, "[", "]"), deep(3000, "[", "]"), deep(1000, '{"a":', "}")],
  ),
);
const hostileName = fc.oneof(
  fc.constantFrom("surprise", "__proto__", "constructor", "toString", "", "a/b", "c~d", "#", "username", "password"),
  hostileText,
);

/** Values that the schema of a member or a parameter allows, of earlier answers where they give such. */
function valid(api: Api, name: string, schema: Schema): Arbitrary<Value> {
  const resolved = api.resolve(schema);
  const { type, format, pattern, properties, items, required = [], minimum = 0, maximum = 1000 } = resolved;
  if (resolved.const !== undefined) return fc.constant(json(resolved.const));
  if (resolved.enum) return fc.constantFrom(...resolved.enum.map(json));
  const alternatives = resolved.oneOf ?? resolved.anyOf;
  if (alternatives) return fc.oneof(...alternatives.map((alternative) => valid(api, name, alternative)));
  if (resolved.allOf) {
    const parts = resolved.allOf.map((part) => api.resolve(part));
    const merged = Object.assign({}, ...parts, { allOf: undefined }, resolved, {
      properties: Object.assign({}, ...parts.map((part) => part.properties), properties),
      required: [...parts.flatMap((part) => part.required ?? []), ...required],
    });
    return valid(api, name, { ...merged, allOf: undefined });
  }
  const types = Array.isArray(type) ? type : [type ?? (properties ? "object" : "string")];
  if (types.includes("object")) {
    const members = Object.entries(properties ?? {}).map(([member, of]) =>
      valid(api, member, of).map((value): [string, Value] => [member, value]),
    );
    return fc.tuple(...members).map((members) => ({ members }));
  }
  if (types.includes("array")) {
    return fc.array(valid(api, name, items ?? {}), { maxLength: 3 }).map((values) => ({ items: values }));
  }
  if (types.includes("integer") || types.includes("number"))
    return fc.integer({ min: minimum, max: maximum }).map(json);
  if (types.includes("boolean")) return fc.boolean().map(json);

  const { minLength = 0, maxLength = 40, example } = resolved;
  const fresh =
    format === "uuid"
      ? fc.uuid()
      : pattern === undefined
        ? fc.string({ unit: "grapheme-ascii", minLength: Math.max(minLength, 1), maxLength: Math.min(maxLength, 60) })
        : fc.stringMatching(new RegExp(pattern, "u"), { maxLength: 80 });
  const given = fc.nat({ max: 5 }).map((pick): Value => ({ given: name, pick }));
  const isGiven =
    ["username", "password"].includes(kindOf(name)) || api.operations.some(({ gives }) => gives.has(kindOf(name)));
  // What makes a new user must be new; everything else is best something that is there.
  const isNew = /^(username|password|new_password)$/.test(name);
  return oneOf(
    ...(isGiven && !isNew ? [choice(12, given)] : []),
    choice(3, fc.constant(json(example ?? "x"))),
    choice(2, fresh.map(json)),
    ...(isGiven && isNew ? [choice(1, given)] : []),
  );
}

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
  const spoil = oneOf<Spoil | undefined>(
    choice(16, fc.constant(undefined)),
    choice(
      2,
      fc.oneof<Arbitrary<Spoil>[]>(
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
    const surprising = fc.record<Body>({ value: hostileValue, types: types("application/json"), spoil });
    return oneOf<Body | undefined>(choice(15, fc.constant(undefined)), choice(1, surprising));
  }
  const schema = api.resolve(body.schema);
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
  const value = oneOf<Value>(
    choice(16, object),
    choice(1, hostileValue),
    choice(
      1,
      object.map((inner) => ({ items: [inner] })),
    ),
  );
  return oneOf<Body | undefined>(
    choice(30, fc.record({ value, types: types(body.type), spoil })),
    choice(1, fc.constant(undefined)),
  );
}

const credentialHeaders = [
  ["Basic"],
  ["Basic "],
  ["Basic !"],
  ["Basic Og=="],
  ["Basic YTpi", "Basic YTpi"],
  ["Basic YQ=="],
  ["Basic YTpi="],
  ["basic YTpi"],
  ["Basic /zpi"],
  ["Basic AAA6AAA="],
  ["Basic 7aCAOmI="],
  ["Bearer"],
  ["Bearer "],
  ["Bearer a b"],
  ["Bearer ..."],
  ["Bearer \u00ff"],
  ["Bearer x, Basic YTpi"],
  ["Digest username=a"],
  [""],
  [","],
  [`Basic ${"QUFB".repeat(2000)}`],
  [`Bearer ${"x".repeat(17_000)}`],
  ["Bearer x", "Basic YTpi"],
];

function credentials({ schemes }: Operation): Arbitrary<Credentials> {
  const pick = fc.nat({ max: 5 });
  const as = fc.constantFrom<"bearer" | "basic">("bearer", "basic");
  const password = fc.record({ kind: fc.constant("password" as const), pick, typed: fc.boolean() });
  const token = fc.record({ kind: fc.constant("token" as const), pick, as });
  const latin1 = fc
    .string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((unit) => String.fromCharCode(unit)) })
    .map((text) => text.replaceAll("\u007f", "")); // which Node would not send
  const none = fc.constant<Credentials>({ kind: "none" });
  return oneOf<Credentials>(
    choice(schemes.length === 0 ? 20 : 2, none),
    choice(schemes.includes("basic") ? (schemes.includes("bearer") ? 4 : 12) : 1, password),
    choice(schemes.includes("bearer") ? 12 : 2, token),
    choice(2, fc.record({ kind: fc.constant("wrong password" as const), pick, password: hostileText })),
    choice(2, fc.record({ kind: fc.constant("forged token" as const), pick, how: fc.nat({ max: 9 }), as })),
    choice(1, fc.record({ kind: fc.constant("expired token" as const), as })),
    choice(
      1,
      fc.constantFrom(...credentialHeaders).map((headers) => ({ kind: "raw" as const, headers })),
    ),
    choice(
      1,
      latin1.map((text) => ({ kind: "raw" as const, headers: [text.trim()] })),
    ),
  );
}

const hostileHeaders: [string, string][] = [
  ...[
    "*/*",
    "application/json",
    "image/png",
    "",
    ",",
    "*/*;q=0",
    "a/b;q=x",
    "application/*;q=0.1",
    "\u00ff/\u00ff",
  ].map((value): [string, string] => ["Accept", value]),
  ...["1.2.3.4", "::1", "x", "'", "1.2.3.4, 5.6.7.8", "[::1]:80", "1.2.3.4\u00ff", ",", "a".repeat(5000)].map(
    (value): [string, string] => ["X-Forwarded-For", value],
  ),
  ...["", "x", "\u009b31m", "\u0085", "\t", "\u00e9", "x".repeat(255), `${"x".repeat(255)}é`, "y".repeat(9000)].map(
    (value): [string, string] => ["User-Agent", value],
  ),
  ["Accept-Charset", "utf-16"],
  ["Accept-Encoding", "gzip"],
  ["Content-Encoding", "gzip"],
  ["Content-Encoding", "identity"],
  ["Content-Type", "text/plain"],
  ["Content-Type", "application/json"],
  ["Cookie", "__proto__=1; a=b"],
  ["Expect", "100-continue"],
  ["Expect", "something else"],
  ["Forwarded", "for=1.2.3.4;host=x"],
  ["Host", "second"],
  ["If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT"],
  ["If-None-Match", "*"],
  ["Origin", "https://evil.example"],
  ["Access-Control-Request-Method", "DELETE"],
  ["Range", "bytes=0-1"],
  ["X-Forwarded-Proto", "https"],
  ["X-HTTP-Method-Override", "DELETE"],
  ["X-Request-Id", "chosen"],
  ["__proto__", "x"],
];

const hostileSegments = [
  ..."%2F|..|.|%2e%2e|%zz|%|%ff|%00|%C0%80|{id}|*|me|password|a%2Fb|;x=1|%20|%0d%0a|~|a#b|__proto__|\u00ff".split("|"),
  ..."urn:uuid:01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b|{01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b}".split("|"),
  ..."00000000-0000-0000-0000-000000000000|01932f6e8f8a7c3a9d6c0d0f5b1c2a3b|toString|a/b|/|".split("|"),
  "x".repeat(8000),
];
const hostileQueries = [
  ..."[x]=1|surprise=1|x[]=1|__proto__=1|__proto__[x]=1|constructor[prototype]=1|%zz=1|%ff=1|=|=1|&|?|#|%00".split("|"),
  ..."limit[a]=1|limit[]=1|limit=1|limit=&limit=|limit=%31|limit=1%00|limit=1e1|limit=0x10|limit=%ff|cursor[]=x".split(
    "|",
  ),
  ...[
    "&".repeat(1000),
    "limit=1&".repeat(1001),
    "[limit]=1",
    "LIMIT=1",
    "limit =1".replace(" ", "+"),
    "x".repeat(9000),
  ],
];

function path(api: Api, operation: Operation): Arbitrary<Step["path"]> {
  const parameters = operation.parameters.filter((parameter) => parameter.in === "path");
  const segment = ({ name, schema }: { name: string; schema: Schema }) =>
    oneOf<Step["path"][string]>(
      choice(
        10,
        valid(api, name, schema).map((value) => ({ value, spelling: "plain" as const })),
      ),
      choice(
        2,
        fc.record({
          value: valid(api, name, schema),
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
  const part = ({ name, schema }: { name: string; schema: Schema }) =>
    oneOf<Step["query"]>(
      choice(4, fc.constant([])),
      choice(
        4,
        valid(api, name, schema).map((value) => [{ name, value }]),
      ),
      choice(
        1,
        hostileText.map((text) => [{ name, value: json(text) }]),
      ),
      choice(
        1,
        valid(api, name, schema).map((value) => [
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
