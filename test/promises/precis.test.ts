/** RFC 8265: usernames and passwords are the same on every keyboard. */

import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { derivedProperty } from "../../src/unicode/lookup.ts";
import { mapPassword, mapUsername } from "../../src/unicode/mappings.ts";
import { type Enforced, enforcePassword, enforceUsername } from "../../src/unicode/precis.ts";
import { decompositionsDigest } from "../../src/unicode/tables.ts";
import { canonicalUsername, newUsername } from "../../src/users/username.ts";

const textOf = (enforced: Enforced) => ("text" in enforced ? enforced.text : undefined);
const usernameCaseMapped = (text: string) => textOf(enforceUsername(text));
const opaqueString = (text: string) => textOf(enforcePassword(text));

describe("usernames", () => {
  // Examples of RFC 8265, section 3.5, come first.
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
    ["אב\u05b0", "אב\u05b0"],
    ["א1٠", undefined],
    // Joiners that RFC 5892, A.1 and A.2, allow.
    ["می\u200cخواهم", "می\u200cخواهم"],
    ["ب\u064e\u200c\u064eب", "ب\u064e\u200c\u064eب"],
    ["क\u094d\u200dष", "क\u094d\u200dष"],
    ["क\u094d\u200cष", "क\u094d\u200cष"],
    ["ශ\u0dca\u200dර", "ශ\u0dca\u200dර"],
    ["می\u200dخواهم", undefined],
    ["ا\u200cب", undefined], // alef joins only to the right
    ["ب\u200c", undefined],
    ["ب\u200cء", undefined], // hamza does not join
    ["\u200cب", undefined],
    ["a\u200cb", undefined],
    ["a\u200db", undefined],
    ["क\u200dष", undefined],
    // The other context rules.
    ["\u0375α", "\u0375α"],
    ["\u0375a", undefined],
    ["א\u05f3", "א\u05f3"],
    ["\u05f3א", undefined],
    ["۱۲", "۱۲"],
    // Widths by their decomposition mappings.
    ["\uffa1\uffc2", undefined],
    ["ｶﾞ", "ガ"],
    ["ｶ･ｶ", "カ・カ"],
    ["\uffe3", undefined],
    // Lower case depends on the context of a sigma.
    ["ΟΔΥΣΣΕΥΣ", "οδυσσευς"],
    ["ΑΣ\u0301", "ας\u0301"],
    ["İ", "i\u0307"],
    ["\u1c89", undefined], // of Unicode 16
  ])("%j is %j", (text, expected) => {
    expect(usernameCaseMapped(text)).toBe(expected);
  });

  test("at most 64 code points after normalisation; a colon is rejected", () => {
    expect(newUsername("𐐷".repeat(64))).toHaveProperty("text");
    expect(newUsername("𐐷".repeat(65))).toEqual({ refusal: "has more than 64 characters" });
    expect(newUsername("e\u0301".repeat(64))).toEqual({ text: "é".repeat(64) });
    expect(newUsername("a:b")).toEqual({ refusal: "has a colon" });
  });

  test.each([
    ["a\u200db", "has U+200D at position 2, which is allowed only behind a virama (RFC 5892, A.2)"],
    ["\uffa1", "has U+FFA1 at position 1, which is not allowed in usernames"],
    ["e\u0301e\u0301①", "has U+2460 at position 5, which is not allowed in usernames"],
    ["😀a\u1c89", "has U+1F600 at position 1, which is not allowed in usernames"],
    ["a\u1c89", "has U+1C89 at position 2, which is not assigned in Unicode 15.0.0"],
    ["אa", "has U+0061 at position 2, which does not go with the direction of the others (RFC 5893, section 2)"],
    ["a\ud800", "has U+D800 at position 2, which is half a character"],
    ["", "is empty"],
  ])("the refusal of %j names the character", (text, refusal) => {
    expect(enforceUsername(text)).toEqual({ refusal });
  });

  test("names that an earlier version accepted are still found; names that Postgres cannot store are not looked up", () => {
    expect(canonicalUsername("A\u1c89")).toBe("A\u1c89".toLowerCase());
    expect(canonicalUsername("a b")).toBe("a b");
    for (const text of ["", "\ud800", "a\0", "a".repeat(65)]) expect(canonicalUsername(text)).toBeUndefined();
  });

  test("the profile is idempotent", () => {
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
    ["می\u200cخواهم", "می\u200cخواهم"],
    ["क\u094d\u200dष", "क\u094d\u200dष"],
    ["a\u200db", undefined],
    ["\uffa1\uffc2", "\uffa1\uffc2"],
    ["\u1c89", undefined],
  ])("%j is %j", (text, expected) => {
    expect(opaqueString(text)).toBe(expected);
  });

  test("that differ only in normal form are equal; the profile is idempotent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
        const once = opaqueString(text);
        return once === opaqueString(text.normalize("NFD")) && (once === undefined || opaqueString(once) === once);
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("the tables are of one version of Unicode", () => {
  const points: number[] = [];
  for (let point = 0; point <= 0x10ffff; point += 1) {
    if (derivedProperty(point) !== undefined && (point < 0xd800 || point > 0xdfff)) points.push(point);
  }

  test("Node knows each assigned code point, and has the same properties and lower case for it", () => {
    const exceptions =
      /[\u00B7\u00DF\u0375\u03C2\u05F3\u05F4\u0640\u0660-\u0669\u06F0-\u06F9\u06FD\u06FE\u07FA\u0F0B\u3007\u302E\u302F\u3031-\u3035\u303B\u30FB\u200C\u200D]/u;
    const derived = (text: string): string => {
      if (/[!-~]/.test(text)) return "v";
      if (
        /[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Cc}\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7FB]/u.test(
          text,
        )
      )
        return "d";
      if (text.normalize("NFKC") !== text) return "f";
      if (/[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}]/u.test(text)) return "v";
      return /[\p{Lt}\p{Nl}\p{No}\p{Me}\p{Zs}\p{S}\p{P}]/u.test(text) ? "f" : "d";
    };
    const differing = points.filter((point) => {
      const text = String.fromCodePoint(point);
      if (!exceptions.test(text) && derivedProperty(point) !== derived(text)) return true;
      const isOtherWidth = /[\u3000\uFF01-\uFFEE]/.test(text);
      return (
        (!isOtherWidth && mapUsername(text) !== text.toLowerCase().normalize("NFC")) ||
        mapPassword(text) !== text.replace(/\p{Zs}/u, " ").normalize("NFC")
      );
    });
    expect(differing.map((point) => point.toString(16))).toEqual([]);
    expect(points.length).toBeGreaterThan(280_000);
  });

  test("Node decomposes each assigned code point in the same way", () => {
    const digest = createHash("sha256");
    for (const point of points) {
      const text = String.fromCodePoint(point);
      if (/\p{Noncharacter_Code_Point}/u.test(text)) continue;
      digest.update(`${point} ${Array.from(text.normalize("NFD"), (part) => part.codePointAt(0)).join(" ")}\n`);
    }
    expect(digest.digest("hex")).toBe(decompositionsDigest);
  });
});
