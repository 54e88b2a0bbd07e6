/** Names and descriptions for people, which appear in logs, tables, terminals and on the consent page. */
import { invalidRequest } from "../problems/problems.ts";
import { missingContext } from "../unicode/context.ts";
import { codePointsOf } from "../unicode/mappings.ts";

/**
 * Characters that change or break a line, that are no text, and that are invisible: two names that look alike could differ in them.
 * Postgres cannot store some of them in JSON.
 */
const unprintable =
  /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFD]/u;

const pictograph = String.raw`\p{Extended_Pictographic}(?:[\uFE0E\uFE0F]|\p{Emoji_Modifier})?`;

/**
 * Invisible characters that change the character before them: in emoji, the variants of Han and Mongolian characters, and the
 * joiners of Bengali and Kannada before a virama (Unicode Standard, sections 12.2 and 12.8), which RFC 5892 does not allow.
 */
const sequences = new RegExp(
  String.raw`${pictograph}(?:\u200D${pictograph})*|[0-9#*]\uFE0F\u20E3|` +
    String.raw`[\p{Script=Han}\p{Script=Mongolian}]\p{Variation_Selector}|[\u09B0\u0CB0]\u200D(?=[\u09CD\u0CCD])`,
  "gu",
);

/** A Braille pattern without dots and a musical symbol without a glyph are blank, although they are symbols. */
const blank = /[\s\p{M}\p{Cf}\u2800\u{1D159}]/gu;

/** @throws {Problem} `invalid-request` */
export function requireDisplayable(text: string, pointer: string): void {
  const found = findUnprintable(text);
  if (found !== undefined) {
    const hex = found.toString(16).toUpperCase().padStart(4, "0");
    throw invalidRequest({ pointer, detail: `has U+${hex}, which is invisible or cannot be displayed` });
  }
  if (text !== "" && text.replace(blank, "") === "")
    throw invalidRequest({ pointer, detail: "has no visible character" });
}

function findUnprintable(text: string): number | undefined {
  if (!unprintable.test(text)) return undefined;
  // Each sequence becomes one visible character, so that the context of the others stays.
  const points = codePointsOf(text.replace(sequences, "x"));
  return points.find((point, index) => {
    const isJoiner = point === 0x200c || point === 0x200d;
    return isJoiner ? missingContext(points, index) !== undefined : unprintable.test(String.fromCodePoint(point));
  });
}
