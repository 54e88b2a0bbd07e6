/**
 * Two profiles of PRECIS (RFC 8264). They make a username or a password the same from every keyboard (RFC 8265).
 *
 * New names and passwords are checked against the string classes. A sign-in only applies the mappings (mappings.ts), so that a
 * later Unicode table does not reject a name that was registered with an earlier one.
 */
import { findBidiViolation } from "./bidi.ts";
import { missingContext } from "./context.ts";
import { derivedProperty } from "./lookup.ts";
import { codePointsOf, mapPassword, mapUsername } from "./mappings.ts";
import { unicodeVersion } from "./tables.ts";

/** The form in which a string is compared and stored, or why it is rejected, such as "is empty". */
export type Enforced = { text: string } | { refusal: string };

type Refused = { index: number; reason: string };

/**
 * The profile UsernameCaseMapped (RFC 8265, section 3.3) without spaces. It is idempotent. Decomposed Hangul, which some
 * keyboards send, is composed before it is checked.
 */
export function enforceUsername(text: string): Enforced {
  return enforce(text, mapUsername, (points) => {
    const refused = refusedBy(points, "vc", "usernames");
    if (refused) return refused;
    const index = findBidiViolation(points);
    return index === undefined
      ? undefined
      : { index, reason: "does not go with the direction of the others (RFC 5893, section 2)" };
  });
}

/** The profile OpaqueString (RFC 8265, section 4.2), for passwords. It preserves case and width, and is idempotent. */
export const enforcePassword = (text: string): Enforced =>
  enforce(text, mapPassword, (points) => refusedBy(points, "vcf", "passwords"));

/** RFC 8265 counts code points, not UTF-16 units. */
export const codePointCount = (text: string): number => codePointsOf(text).length;

function enforce(
  text: string,
  map: (text: string) => string,
  check: (points: number[]) => Refused | undefined,
): Enforced {
  if (text === "") return { refusal: "is empty" };
  const typed = codePointsOf(text);
  const surrogate = typed.findIndex((point) => point >= 0xd800 && point <= 0xdfff);
  if (surrogate >= 0) return { refusal: describe(typed, surrogate, "is half a character") };
  const mapped = map(text);
  const refused = check(codePointsOf(mapped));
  if (!refused) return { text: mapped };
  return { refusal: describe(typed, typedIndex(typed, refused.index, map), refused.reason) };
}

/** @param allowed the derived properties that the class allows */
function refusedBy(points: number[], allowed: string, what: string): Refused | undefined {
  for (const [index, point] of points.entries()) {
    const property = derivedProperty(point);
    if (property === undefined) return { index, reason: `is not assigned in Unicode ${unicodeVersion}` };
    if (!allowed.includes(property)) return { index, reason: `is not allowed in ${what}` };
    const where = property === "c" && missingContext(points, index);
    if (where) return { index, reason: `is allowed only ${where}` };
  }
  return undefined;
}

/** The index of the typed code point that a mapped code point comes from: the end of the shortest prefix that maps to it. */
function typedIndex(typed: number[], mappedIndex: number, map: (text: string) => string): number {
  let low = 0;
  let high = typed.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const beginning = String.fromCodePoint(...typed.slice(0, middle + 1));
    if (codePointCount(map(beginning)) > mappedIndex) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Positions are counted from 1, in code points. */
function describe(points: number[], index: number, reason: string): string {
  const hex = (points[index] ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return `has U+${hex} at position ${index + 1}, which ${reason}`;
}
