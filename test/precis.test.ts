/** RFC 8265: one username and one password on every keyboard. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { opaqueString, usernameCaseMapped } from "../src/unicode/precis.ts";
import { canonicalUsername } from "../src/users/username.ts";

describe("usernames", () => {
  // The first rows are the RFC's own examples (RFC 8265, section 3.5).
  test.each([
    ["juliet@example.com", "juliet@example.com"],
    ["fussball", "fussball"],
    ["fußball", "fußball"],
    ["π", "π"],
    ["Σ", "σ"],
    ["σ", "σ"],
    ["ς", "ς"],
    ["foo bar", undefined],
    ["", undefined],
    ["henry\u2163", undefined],
    ["\u265a", undefined],
    ["Miguel", "miguel"],
    ["ＭＩＧＵＥＬ", "miguel"],
    ["e\u0301", "é"],
    ["\u1112\u1161\u11ab", "한"], // what a Mac sends for it
    ["l·l", "l·l"],
    ["a·l", undefined],
    ["カ・カ", "カ・カ"],
    ["a・a", undefined],
    ["٠۰", undefined],
    ["ﬁ", undefined],
    ["①", undefined],
    ["a\u00adb", undefined],
    ["a\ufeff", undefined],
    ["\ue000", undefined],
    ["\u0378", undefined],
    ["אבג", "אבג"],
    ["אבג1", "אבג1"],
    ["1אבג", undefined],
    ["אa", undefined],
  ])("%j is %j", (text, expected) => {
    expect(usernameCaseMapped(text)).toBe(expected);
  });

  test("64 code points are the most, after normalisation; a colon is none", () => {
    expect(canonicalUsername("𐐷".repeat(64))).toBeDefined();
    expect(canonicalUsername("𐐷".repeat(65))).toBeUndefined();
    expect(canonicalUsername("e\u0301".repeat(64))).toBe("é".repeat(64));
    expect(canonicalUsername("a:b")).toBeUndefined();
  });

  test("applying the profile twice changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
        const once = usernameCaseMapped(text);
        return once === undefined || usernameCaseMapped(once) === once;
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("passwords", () => {
  // RFC 8265, section 4.3, and what keyboards do.
  test.each([
    ["correct horse battery staple", "correct horse battery staple"],
    ["Correct Horse Battery Staple", "Correct Horse Battery Staple"],
    ["πßå", "πßå"],
    ["Jack of \u2666s", "Jack of \u2666s"],
    ["foo\u1680bar", "foo bar"],
    ["", undefined],
    ["my cat is a \u0009by", undefined],
    ["cafe\u0301", "café"],
    ["pass\u0000word", undefined],
    ["\ud800", undefined],
    ["a\u3000b", "a b"],
    ["ﬁ", "ﬁ"],
    ["😀😀😀", "😀😀😀"],
  ])("%j is %j", (text, expected) => {
    expect(opaqueString(text)).toBe(expected);
  });

  test("two that differ only in normal form are one; applying it twice changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
        const once = opaqueString(text);
        return once === opaqueString(text.normalize("NFD")) && (once === undefined || opaqueString(once) === once);
      }),
      { numRuns: 20_000 },
    );
  });
});
