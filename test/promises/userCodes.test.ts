/** User codes of devices: what people type, and what is stored. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatUserCode, newUserCode, parseUserCode, userCodeHmacs } from "../../src/oauth/devices/userCodes.ts";

const letter = fc.constantFrom(..."BCDFGHJKLMNPQRSTVWXZ");
const code = fc.array(letter, { minLength: 8, maxLength: 8 }).map((letters) => letters.join(""));
const separator = fc.constantFrom("", "-", " ", "–", "—", "\u00a0", "\t", " - ");

test("a new code is 8 consonants, and all 20 of them occur", () => {
  const codes = Array.from({ length: 500 }, newUserCode);
  for (const one of codes) expect(one).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{8}$/);
  expect(new Set(codes.join("")).size).toBe(20);
  expect(new Set(codes).size).toBe(500);
});

test("a code is recognized in any case, with any dashes and spaces", () => {
  fc.assert(
    fc.property(code, fc.array(separator, { minLength: 9, maxLength: 9 }), fc.boolean(), (one, separators, isLower) => {
      const typed = separators.map((text, index) => text + one.charAt(index)).join("");
      expect(parseUserCode(isLower ? typed.toLowerCase() : typed)).toBe(one);
      expect(parseUserCode(formatUserCode(one))).toBe(one);
    }),
  );
});

test.each(["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB_MJHT", "WDJB-MJH1", "ＷＤＪＢ-MJHT", "WDJB\0MJHT"])(
  "%j is no code",
  (text) => expect(parseUserCode(text)).toBeUndefined(),
);

test("a code is found under the previous secret key as well, and its stored form depends on the key", () => {
  const both = userCodeHmacs(["the current key", "the previous key"])("WDJBMJHT");
  const [previous] = userCodeHmacs(["the previous key"])("WDJBMJHT");
  expect(both[1]).toEqual(previous);
  expect(both[0]).not.toEqual(previous);
});
