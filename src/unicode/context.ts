/** Code points that are allowed only in a certain context (RFC 5892, appendix A). */
import { isVirama, joiningType, scriptOf } from "./lookup.ts";

type Rule = {
  allows(points: number[], index: number): boolean;
  /** Continues "is allowed only …". */
  where: string;
};

/** Whether the first code point that is not transparent has one of the joining types. */
function joins(points: number[], types: string): boolean {
  const next = points.map((point) => joiningType(point) ?? "U").find((type) => type !== "T");
  return next !== undefined && types.includes(next);
}

const followsVirama = (points: number[], index: number) => index > 0 && isVirama(points[index - 1] ?? 0) !== undefined;
const hebrew: Rule = {
  allows: (points, index) => index > 0 && scriptOf(points[index - 1] ?? 0) === "Hebrew",
  where: "behind a Hebrew letter (RFC 5892, A.5 and A.6)",
};
const isArabicIndic = (point: number) => point >= 0x660 && point <= 0x669;
const isExtendedArabicIndic = (point: number) => point >= 0x6f0 && point <= 0x6f9;

const rules: Record<number, Rule> = {
  8204: {
    allows: (points, index) =>
      followsVirama(points, index) ||
      (joins(points.slice(0, index).reverse(), "LD") && joins(points.slice(index + 1), "RD")),
    where: "behind a virama or between letters that join (RFC 5892, A.1)",
  },
  8205: { allows: followsVirama, where: "behind a virama (RFC 5892, A.2)" },
  183: {
    allows: (points, index) => points[index - 1] === 0x6c && points[index + 1] === 0x6c,
    where: "between two l (RFC 5892, A.3)",
  },
  885: {
    allows: (points, index) => scriptOf(points[index + 1] ?? 0) === "Greek",
    where: "before a Greek letter (RFC 5892, A.4)",
  },
  1523: hebrew,
  1524: hebrew,
  12539: {
    allows: (points) => points.some((point) => /^(?:Hiragana|Katakana|Han)$/.test(scriptOf(point) ?? "")),
    where: "beside Hiragana, Katakana or Han (RFC 5892, A.7)",
  },
};

/** @returns the context that the code point requires; `undefined` if it is allowed here */
export function missingContext(points: number[], index: number): string | undefined {
  const point = points[index] ?? 0;
  if (isArabicIndic(point) && points.some(isExtendedArabicIndic)) return "without other Arabic digits (RFC 5892, A.8)";
  if (isExtendedArabicIndic(point) && points.some(isArabicIndic)) return "without other Arabic digits (RFC 5892, A.9)";
  const rule = rules[point];
  return rule && !rule.allows(points, index) ? rule.where : undefined;
}
