/**
 * Two profiles of PRECIS, the framework for comparing strings that people type (RFC 8264): what
 * makes a username one username and a password one password on every keyboard (RFC 8265).
 *
 * Stricter than the RFC in one place: zero-width joiners (CONTEXTJ) are refused, since whether
 * they are in a fitting context needs tables that JavaScript does not have.
 */
import bidiFactory from "bidi-js";

// The package is CommonJS and its types describe its ES module: what arrives is the function itself.
const bidi = (bidiFactory as unknown as typeof bidiFactory.default)();

/**
 * The profile UsernameCaseMapped (RFC 8265, section 3.3) without spaces.
 * @returns the form in which the name is compared and kept, or `undefined` where the string
 * cannot be a username. Applying it twice changes nothing.
 */
export function usernameCaseMapped(text: string): string | undefined {
  if (!text.isWellFormed()) return undefined;
  const mapped = mapWidth(text).toLowerCase().normalize("NFC");
  return mapped !== "" && isIdentifierClass(mapped) && satisfiesBidiRule(mapped) ? mapped : undefined;
}

/**
 * The profile OpaqueString (RFC 8265, section 4.2), for passwords: case stays, every kind of
 * space becomes U+0020, composed and decomposed letters become the same.
 * @returns the form that is hashed, or `undefined` where the string cannot be a password.
 */
export function opaqueString(text: string): string | undefined {
  if (!text.isWellFormed()) return undefined;
  const mapped = text.replace(/\p{Zs}/gu, " ").normalize("NFC");
  return mapped !== "" && !disallowedAnywhere.test(mapped) && satisfiesContextRules(mapped) ? mapped : undefined;
}

/** RFC 8265 counts code points, not UTF-16 units. */
export const codePointCount = (text: string): number => [...text].length;

// RFC 8264, section 9: what neither string class allows. F (exceptions), J (unassigned),
// H (joiners; see above), I (old Hangul jamo), M (ignorable), L (controls), and what section 8
// leaves over: private use and lone surrogates. Line and paragraph separators are left over too.
const disallowedAnywhere =
  /[\u0640\u07FA\u302E\u302F\u3031-\u3035\u303B]|[\p{Cn}\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|\p{Default_Ignorable_Code_Point}|\p{Noncharacter_Code_Point}|[\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7FB]/u;

// RFC 8264, sections 9.1 (letters and digits), 9.11 (ASCII7) and 9.6 (exceptions).
const identifierCharacter =
  /^(?:[\u0021-\u007E]|[\u00DF\u03C2\u06FD\u06FE\u0F0B\u3007]|[\u00B7\u0375\u05F3\u05F4\u30FB]|[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}])$/u;

function isIdentifierClass(text: string): boolean {
  if (disallowedAnywhere.test(text) || !satisfiesContextRules(text)) return false;
  for (const character of text) {
    if (!identifierCharacter.test(character)) return false;
    // HasCompat (section 9.17): a ligature or a circled letter is not what it looks like.
    if (character.normalize("NFKC") !== character.normalize("NFC")) return false;
  }
  return true;
}

/** Fullwidth and halfwidth characters are the same letters in another width (RFC 8264, section 5.2.1). */
function mapWidth(text: string): string {
  return text.replace(/[\u3000\uFF01-\uFFEE]/g, (character) => character.normalize("NFKC"));
}

/** The CONTEXTO rules of RFC 5892, appendix A.3 to A.9. */
function satisfiesContextRules(text: string): boolean {
  return (
    !/(?<!l)\u00B7|\u00B7(?!l)/u.test(text) &&
    !/\u0375(?!\p{Script=Greek})/u.test(text) &&
    !/(?<!\p{Script=Hebrew})[\u05F3\u05F4]/u.test(text) &&
    (!text.includes("\u30FB") || /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(text)) &&
    !(/[\u0660-\u0669]/u.test(text) && /[\u06F0-\u06F9]/u.test(text))
  );
}

/** A name with right-to-left letters must not be able to look like another (RFC 5893, section 2). */
function satisfiesBidiRule(text: string): boolean {
  const classes = [...text].map((character) => bidi.getBidiCharTypeName(character));
  if (!classes.some((name) => name === "R" || name === "AL" || name === "AN")) return true;
  const trimmed = classes
    .join(" ")
    .replace(/(?: NSM)+$/, "")
    .split(" ");
  const first = classes[0] ?? "";
  const last = trimmed.at(-1) ?? "";
  // A name that begins left-to-right must not hold any of the right-to-left letters found above.
  return (
    (first === "R" || first === "AL") &&
    classes.every((name) => ["R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"].includes(name)) &&
    ["R", "AL", "EN", "AN"].includes(last) &&
    !(classes.includes("EN") && classes.includes("AN"))
  );
}
