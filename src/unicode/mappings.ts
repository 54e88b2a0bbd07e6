/**
 * Mappings that make different spellings equal. They use tables of one Unicode version, and NFC, which is stable (UAX #15,
 * section 3).
 */
import { derivedProperty, isCased, isCaseIgnorable, normalWidth, simpleLowerCase } from "./lookup.ts";

export const codePointsOf = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0) ?? 0);
const textOf = (points: number[]) => points.map((point) => String.fromCodePoint(point)).join("");

/** The mappings of UsernameCaseMapped (RFC 8265, section 3.3.2): width by decomposition mapping, lower case, NFC. */
export const mapUsername = (text: string): string => toLowerCase(codePointsOf(text).map(normalWidth)).normalize("NFC");

/** The mappings of OpaqueString (RFC 8265, section 4.2.2): every kind of space becomes U+0020; NFC. */
export const mapPassword = (text: string): string =>
  text.replace(/[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]/g, " ").normalize("NFC");

/** toLowercase(X) of the Unicode standard, section 3.13, with the language-independent mappings of SpecialCasing.txt. */
function toLowerCase(points: number[]): string {
  return textOf(
    points.flatMap((point, index) => {
      if (point === 0x130) return [0x69, 0x307];
      if (point === 0x3a3) return isFinalSigma(points, index) ? 0x3c2 : 0x3c3;
      // A user who registered with a letter of a later Unicode version can still sign in.
      if (derivedProperty(point) === undefined) return codePointsOf(String.fromCodePoint(point).toLowerCase());
      return simpleLowerCase(point);
    }),
  );
}

function isFinalSigma(points: number[], index: number): boolean {
  return isCasedAt(points, index, -1) && !isCasedAt(points, index, 1);
}

/** Whether the next letter in a direction is cased. Case-ignorable code points, such as marks, are skipped. */
function isCasedAt(points: number[], index: number, step: 1 | -1): boolean {
  let at = index + step;
  while (at >= 0 && at < points.length && isCaseIgnorable(points[at] as number)) at += step;
  const point = points[at];
  return point !== undefined && isCased(point) !== undefined;
}
