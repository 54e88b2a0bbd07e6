/** Forms are read in one way only, whatever their encoding (RFC 6749, section 3.2 and appendix B). */
import { describe, expect, test } from "vitest";
import { parseForm } from "../../src/openapi/formBody.ts";
import { Problem } from "../../src/problems/problems.ts";

const names = new Set(["token", "token_type_hint"]);
const parse = (text: string | Buffer) => parseForm(Buffer.from(text), names);

test.each<[string, string, Record<string, string>]>([
  ["a parameter", "token=a", { token: "a" }],
  ["two parameters", "token=a&token_type_hint=b", { token: "a", token_type_hint: "b" }],
  ["a plus sign, which is a space", "token=a+b", { token: "a b" }],
  ["an escaped plus sign", "token=a%2Bb", { token: "a+b" }],
  ["an escaped name", "%74oken=a", { token: "a" }],
  ["escapes in either case", "token=%c3%A9%26%3d", { token: "é&=" }],
  ["UTF-8 without escapes", "token=é", { token: "é" }],
  ["an equals sign in the value", "token=a=b", { token: "a=b" }],
  ["an escaped NUL", "token=%00", { token: "\0" }],
  ["a byte order mark", "token=%EF%BB%BFa", { token: "\ufeffa" }],
  ["a semicolon, which separates nothing", "token=a;token=b", { token: "a;token=b" }],
  ["separators without parameters", "&&token=a&", { token: "a" }],
  ["an empty parameter, which is like none", "token=&token_type_hint=b", { token_type_hint: "b" }],
  ["a name without a value, which is like none", "token&token_type_hint=b", { token_type_hint: "b" }],
  ["undeclared parameters, which are ignored", "token=a&x=1&=2&%00=3&Token=4", { token: "a" }],
  ["names of Object.prototype, which are ignored", "__proto__=1&constructor=2&toString=3&token=a", { token: "a" }],
  ["nothing", "", {}],
])("a form with %s is accepted", (_name, text, expected) => {
  const form = parse(text);
  expect(form).toEqual(expected);
  expect(Object.keys(form)).toEqual(Object.keys(expected));
});

describe("a form is rejected", () => {
  test.each<[string, string | Buffer, string]>([
    ["with a repeated parameter", "token=a&token=a", "is sent more than once"],
    ["with a repeated parameter, once escaped", "token=a&t%6Fken=b", "is sent more than once"],
    ["with a repeated parameter, once empty", "token=&token=a", "is sent more than once"],
    ["with a repeated undeclared parameter", "x=1&token=a&x=2", "is sent more than once"],
    ["with an incomplete escape", "token=%4", "has a malformed percent escape"],
    ["with an escape of no digits", "token=%zz", "has a malformed percent escape"],
    ["with a percent sign", "token=100%", "has a malformed percent escape"],
    ["with a malformed name", "%=1&token=a", "has a malformed percent escape"],
    ["with an escaped lone surrogate", "token=%ED%A0%80", "has a malformed percent escape"],
    ["with an escaped overlong form", "token=%C0%80", "has a malformed percent escape"],
    ["with an escaped byte that is not UTF-8", "token=%FF", "has a malformed percent escape"],
    ["with a byte that is not UTF-8", Buffer.from([0x74, 0x3d, 0xff]), "is not UTF-8"],
    ["with a lone surrogate", Buffer.from([0x74, 0x3d, 0xed, 0xa0, 0x80]), "is not UTF-8"],
  ])("%s", (_name, text, detail) => {
    const refused = () => parse(text);
    expect(refused).toThrow(Problem);
    try {
      refused();
    } catch (error) {
      expect((error as Problem).body("").errors?.[0]?.detail).toBe(detail);
    }
  });
});
