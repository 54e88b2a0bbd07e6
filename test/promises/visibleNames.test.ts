/** Names for people have a visible character, and none that is invisible. */
import { describe, expect, test } from "vitest";
import { requireDisplayable } from "../../src/access/displayText.ts";
import { Problem } from "../../src/problems/problems.ts";

/** @returns why the name is rejected; `undefined` if it is accepted */
function refusalOf(name: string): string | undefined {
  try {
    requireDisplayable(name, "#/name");
    return undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.body("").errors?.[0]?.detail;
  }
}

describe("a name is rejected", () => {
  test.each<[string, string, string]>([
    ["with a soft hyphen", "Latch\u00adkey", "U+00AD"],
    ["with a zero-width space alone", "\u200b", "U+200B"],
    ["with a byte order mark", "\ufeffLatchkey", "U+FEFF"],
    ["with a tag character", "Latchkey\u{e0041}", "U+E0041"],
    ["with an annotation mark", "Latch\ufff9key", "U+FFF9"],
    ["with a Hangul filler", "\u3164", "U+3164"],
    ["with the filler of an initial consonant", "\u115f", "U+115F"],
    ["with the filler of a vowel", "\u1160", "U+1160"],
    ["with a halfwidth filler", "\uffa0", "U+FFA0"],
    ["with a joiner between Latin letters", "Latch\u200dkey", "U+200D"],
    ["with a non-joiner between Latin letters", "Latch\u200ckey", "U+200C"],
    ["with a joiner after an emoji", "🔑\u200d", "U+200D"],
    ["with a variation selector after a Latin letter", "Latch\ufe0fkey", "U+FE0F"],
    ["with a bidirectional control", "Latchkey\u202e", "U+202E"],
  ])("%s", (_case, name, character) => {
    expect(refusalOf(name)).toBe(`has ${character}, which is invisible or cannot be displayed`);
  });

  test.each([
    ["a space", " "],
    ["an ideographic space", "\u3000"],
    ["blank Braille patterns", "\u2800\u2800"],
    ["an accent", "\u0301"],
    ["a musical symbol without a glyph", "\u{1d159}"],
  ])("if it consists of %s", (_case, name) => {
    expect(refusalOf(name)).toBe("has no visible character");
  });
});

test.each([
  ["Latin", "Latchkey 2"],
  ["a Persian non-joiner", "می\u200cخواهم"],
  ["a Sinhala joiner", "ශ\u0dca\u200dරී"],
  ["a Bengali joiner before a virama", "র\u200d\u09cdযাব"],
  ["a Japanese variant", "葛\u{e0100}城"],
  ["a Mongolian variant", "ᠮᠣ\u180bᠩ"],
  ["Braille with a blank", "⠇\u2800⠅"],
  ["an emoji alone", "🔑"],
  ["an emoji with a variation selector", "\u2764\ufe0f"],
  ["a keycap", "1\ufe0f\u20e3"],
  ["a family", "👨\u200d👩\u200d👧"],
  ["an emoji with a skin tone and a joiner", "👩🏽\u200d🚀"],
  ["a flag with a joiner", "🏳\ufe0f\u200d🌈"],
])("a name with %s is accepted", (_case, name) => {
  expect(refusalOf(name)).toBeUndefined();
});

test("an empty description is accepted", () => {
  expect(refusalOf("")).toBeUndefined();
});
