/** The form of an API key: what docs/api-keys.md promises to secret scanners, and what the service rejects without a query. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatKey, newSecret, parseKey } from "../../src/apiKeys/format.ts";
import { hasApiKeyShape } from "../../src/openapi/authorizationHeader.ts";

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const digit = fc.constantFrom(...digits);
const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => formatKey(Buffer.from(bytes)));
/** A text with the checksum of its first 46 characters. */
const withChecksum = (checked: string): string => {
  let rest = crc32(checked);
  let text = "";
  for (let place = 0; place < 6; place += 1, rest = Math.floor(rest / 62)) text = digits.charAt(rest % 62) + text;
  return checked + text;
};
const guide = readFileSync("docs/api-keys.md", "utf8");

test("a key has the documented form, and its digest is SHA-256 of its text", () => {
  const pattern = new RegExp(/^\s+(\\blk_.*\\b)$/m.exec(guide)?.[1] ?? "missing");
  fc.assert(
    fc.property(key, (text) => {
      expect(`x=${text};`.match(pattern)?.[0]).toBe(text);
      expect(parseKey(text)).toBe(createHash("sha256").update(text).digest("binary"));
      expect(hasApiKeyShape(text)).toBe(true);
      expect(withChecksum(text.slice(0, 46))).toBe(text);
    }),
  );
});

test("the test vectors of the guide are right", () => {
  const vectors = [...guide.matchAll(/^\| `([0-9a-f]{64})` \| `(\w+)` \| `([0-9a-f]{8})` \|$/gm)];
  expect(vectors).toHaveLength(3);
  for (const [, bytes = "", text = "", checksum = ""] of vectors) {
    expect(formatKey(Buffer.from(bytes, "hex"))).toBe(text);
    expect(crc32(text.slice(0, 46))).toBe(Number.parseInt(checksum, 16));
  }
});

test("a key with another character anywhere is rejected", () => {
  fc.assert(
    fc.property(
      key,
      fc.nat({ max: 51 }),
      fc.oneof(digit, fc.string({ unit: "grapheme", minLength: 1 })),
      (text, at, other) => {
        fc.pre(text.charAt(at) !== other);
        expect(parseKey(text.slice(0, at) + other + text.slice(at + 1))).toBeUndefined();
      },
    ),
    { numRuns: 1_000 },
  );
});

test("a text of another length is rejected, whatever its checksum", () => {
  fc.assert(
    fc.property(fc.array(digit, { maxLength: 60 }), (random) => {
      fc.pre(random.length !== 43);
      expect(parseKey(withChecksum(`lk_${random.join("")}`))).toBeUndefined();
    }),
  );
});

test("a number of more than 256 bits is no key, although its checksum is right", () => {
  const largest = formatKey(Buffer.alloc(32, 255)).slice(0, 46);
  expect(parseKey(withChecksum(largest))).toBeDefined();
  const next = largest.slice(0, -1) + digits.charAt(digits.indexOf(largest.slice(-1)) + 1);
  expect(parseKey(withChecksum(next))).toBeUndefined();
  expect(parseKey(withChecksum(`lk_${"z".repeat(43)}`))).toBeUndefined();
});

test("keys are random", () => {
  const keys = Array.from({ length: 1_000 }, () => newSecret().text);
  expect(new Set(keys.map((text) => text.slice(3, 46))).size).toBe(1_000);
  // Each place after the first has most of the digits, with 1,000 keys.
  for (let place = 4; place < 46; place += 1) expect(new Set(keys.map((text) => text[place])).size).toBeGreaterThan(55);
});
