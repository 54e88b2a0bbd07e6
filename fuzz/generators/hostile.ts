/** Hostile texts, values, headers and parts of a target. Each has caused a defect in some service. */
import fc, { type Arbitrary } from "fast-check";
import { json, type Value } from "../plan.ts";

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
export const hostileText: Arbitrary<string> = fc.oneof(
  fc.constantFrom(...traps),
  fc.tuple(fc.constantFrom(...traps), fc.constantFrom(...traps)).map((texts) => texts.join("")),
  fc.tuple(fc.constantFrom(...characters), fc.constantFrom(...lengths)).map(([text, length]) => text.repeat(length)),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: anyUnit, maxLength: 20 }),
);

const deep = (depth: number, open: string, close: string): Value => ({ raw: open.repeat(depth) + close.repeat(depth) });
export const hostileValue: Arbitrary<Value> = fc.oneof(
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

export const hostileName = fc.oneof(
  fc.constantFrom("surprise", "__proto__", "constructor", "toString", "", "a/b", "c~d", "#", "username", "password"),
  hostileText,
);

export const credentialHeaders = [
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

export const hostileHeaders: [string, string][] = [
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

export const hostileSegments = [
  ..."%2F|..|.|%2e%2e|%zz|%|%ff|%00|%C0%80|{id}|*|me|password|a%2Fb|;x=1|%20|%0d%0a|~|a#b|__proto__|\u00ff".split("|"),
  ..."urn:uuid:01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b|{01932f6e-8f8a-7c3a-9d6c-0d0f5b1c2a3b}".split("|"),
  ..."00000000-0000-0000-0000-000000000000|01932f6e8f8a7c3a9d6c0d0f5b1c2a3b|toString|a/b|/|".split("|"),
  "x".repeat(8000),
];

export const hostileQueries = [
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
