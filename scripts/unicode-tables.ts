/**
 * Writes src/unicode/tables.ts from a folder with the Unicode Character Database:
 * `tsx scripts/unicode-tables.ts /usr/share/unicode` (Debian's package unicode-data, or UCD.zip of unicode.org).
 * Run it only for a new version of Unicode that every supported version of Node.js has.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder = "/usr/share/unicode"] = process.argv.slice(2);
const last = 0x10ffff;

/** The fields of each line of a file, without comments. */
const linesOf = (name: string): string[][] =>
  readFileSync(join(folder, name), "utf8")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
    .map((line) => line.split(";").map((field) => field.trim()));

/** A property by code point, from a file with lines such as `first..last ; value`. */
function propertyOf(name: string, take: (value: string) => boolean = () => true): Map<number, string> {
  const values = new Map<number, string>();
  for (const [range = "", value = ""] of linesOf(name)) {
    const [from = 0, to = from] = range.split("..").map((text) => Number.parseInt(text, 16));
    if (take(value)) for (let point = from; point <= to; point += 1) values.set(point, value);
  }
  return values;
}
const having = (name: string, ...properties: string[]) => propertyOf(name, (value) => properties.includes(value));

type Entry = { category: string; combiningClass: number; decomposition: string; lower: string };
const entries = new Map<number, Entry>();
let rangeStart = 0;
for (const fields of linesOf("UnicodeData.txt")) {
  const [hex = "", name = "", category = "", combining = "0", , decomposition = ""] = fields;
  const point = Number.parseInt(hex, 16);
  if (name.endsWith("First>")) rangeStart = point;
  const from = name.endsWith("Last>") ? rangeStart : point;
  const entry = { category, combiningClass: Number(combining), decomposition, lower: fields[13] ?? "" };
  for (let each = from; each <= point; each += 1) entries.set(each, entry);
}

const core = "DerivedCoreProperties.txt";
const ignorable = having(core, "Default_Ignorable_Code_Point");
const noncharacters = having("PropList.txt", "Noncharacter_Code_Point");
const jamo = having("HangulSyllableType.txt", "L", "V", "T");
const casedPoints = having(core, "Cased");
const caseIgnorablePoints = having(core, "Case_Ignorable");
const joining = propertyOf("extracted/DerivedJoiningType.txt");
const bidi = propertyOf("extracted/DerivedBidiClass.txt");
const scripts = having("Scripts.txt", "Greek", "Hebrew", "Hiragana", "Katakana", "Han");
const noCompatibility = new Set<number>();
for (const [range = "", property, value] of linesOf("DerivedNormalizationProps.txt")) {
  const [from = 0, to = from] = range.split("..").map((text) => Number.parseInt(text, 16));
  if (property === "NFKC_QC" && value === "N")
    for (let point = from; point <= to; point += 1) noCompatibility.add(point);
}

/** RFC 8264, section 9.6 (as in RFC 5892, section 2.6). */
const exceptions = new Map<number, string>([
  ...[0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007].map((point) => [point, "valid"] as const),
  ...[0xb7, 0x375, 0x5f3, 0x5f4, 0x30fb].map((point) => [point, "context"] as const),
  ...Array.from({ length: 10 }, (_, digit) => [0x660 + digit, "context"] as const),
  ...Array.from({ length: 10 }, (_, digit) => [0x6f0 + digit, "context"] as const),
  ...[0x640, 0x7fa, 0x302e, 0x302f, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035, 0x303b].map(
    (point) => [point, "disallowed"] as const,
  ),
]);

/** The derived property (RFC 8264, section 8, in its order). `free` is FREE_PVAL and ID_DIS. */
function derivedProperty(point: number): string {
  const exception = exceptions.get(point);
  if (exception) return exception;
  const category = entries.get(point)?.category;
  if (category === undefined) return noncharacters.has(point) ? "disallowed" : "unassigned";
  if (point >= 0x21 && point <= 0x7e) return "valid";
  if (point === 0x200c || point === 0x200d) return "context";
  if (jamo.has(point) || ignorable.has(point) || noncharacters.has(point) || category === "Cc") return "disallowed";
  if (noCompatibility.has(point)) return "free";
  if (/^(?:Ll|Lu|Lo|Nd|Lm|Mn|Mc)$/.test(category)) return "valid";
  return /^(?:Lt|Nl|No|Me|Zs|Sm|Sc|Sk|So|P.)$/.test(category) ? "free" : "disallowed";
}

/** Packs ranges as `distance length value`, in base 36. The distance is from the end of the previous range. */
function pack(lookUp: (point: number) => string | undefined): string {
  const parts: string[] = [];
  let end = 0;
  for (let point = 0; point <= last; ) {
    const value = lookUp(point);
    let next = point + 1;
    while (next <= last && lookUp(next) === value) next += 1;
    if (value !== undefined) {
      parts.push(`${(point - end).toString(36)} ${(next - point).toString(36)} ${value}`);
      end = next;
    }
    point = next;
  }
  return parts.join(",");
}

const short: Record<string, string | undefined> = { valid: "v", context: "c", free: "f", disallowed: "d" };
const tables = {
  derivedProperties: pack((point) => short[derivedProperty(point)]),
  joiningTypes: pack((point) => (joining.get(point) === "U" ? undefined : joining.get(point))),
  viramas: pack((point) => (entries.get(point)?.combiningClass === 9 ? "v" : undefined)),
  scripts: pack((point) => scripts.get(point)),
  bidiClasses: pack((point) => (entries.has(point) && bidi.get(point) !== "L" ? bidi.get(point) : undefined)),
  widths: pack((point) => {
    const [, to] = /^<(?:wide|narrow)> ([0-9A-F]+)$/.exec(entries.get(point)?.decomposition ?? "") ?? [];
    return to && (Number.parseInt(to, 16) - point).toString(36);
  }),
  lowerCase: pack((point) => {
    const lower = entries.get(point)?.lower;
    return lower ? (Number.parseInt(lower, 16) - point).toString(36) : undefined;
  }),
  cased: pack((point) => (casedPoints.has(point) ? "c" : undefined)),
  caseIgnorable: pack((point) => (caseIgnorablePoints.has(point) ? "i" : undefined)),
};

/** The canonical decomposition of a code point (Unicode, section 3.7). */
function decompose(point: number): number[] {
  const syllable = point - 0xac00;
  if (syllable >= 0 && syllable < 11_172) {
    const trailing = 0x11a7 + (syllable % 28);
    const both = [0x1100 + Math.floor(syllable / 588), 0x1161 + Math.floor((syllable % 588) / 28)];
    return trailing === 0x11a7 ? both : [...both, trailing];
  }
  const { decomposition = "" } = entries.get(point) ?? {};
  if (decomposition === "" || decomposition.startsWith("<")) return [point];
  return decomposition.split(" ").flatMap((hex) => decompose(Number.parseInt(hex, 16)));
}

const decompositions = createHash("sha256");
for (const [point] of [...entries].sort(([a], [b]) => a - b)) {
  if (point < 0xd800 || point > 0xdfff) decompositions.update(`${point} ${decompose(point).join(" ")}\n`);
}
const version = /DerivedAge-([\d.]+)\.txt/.exec(readFileSync(join(folder, "DerivedAge.txt"), "utf8"))?.[1];
const text = Object.entries(tables).map(([name, packed]) => `export const ${name} =\n  "${packed}";\n`);
writeFileSync(
  "src/unicode/tables.ts",
  `// Made by scripts/unicode-tables.ts from the Unicode Character Database (https://www.unicode.org/license.txt). Do not edit.
export const unicodeVersion = "${version}";

/** SHA-256 of the canonical decompositions of all assigned code points, which a test compares with those of Node. */
export const decompositionsDigest = "${decompositions.digest("hex")}";

${text.join("\n")}`,
);
