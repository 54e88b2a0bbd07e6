/** Formats tables for a terminal. */
import stringWidth from "string-width";
import { getBorderCharacters, table } from "table";
import { escapeControls } from "./output.ts";

/** An object as in the API: `snake_case` members, times in ISO 8601. */
export type Row = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** Spaces between two columns. */
const gap = 2;
/** A column with text is not narrower than this, in terminal columns. */
const narrowest = 12;

/**
 * A line for each row, below a line with the names of the columns. If a line does not fit the width, long texts are wrapped at
 * spaces. Ids and times are not cut: if even they do not fit, each row becomes a block of lines.
 */
export function formatTable(
  rows: readonly Row[],
  { columns, width }: { columns: readonly string[]; width: number },
): string {
  const cells = [columns.map(title), ...rows.map((row) => columns.map((column) => text(row[column])))];
  const natural = columns.map((_, index) => Math.max(...cells.map((line) => stringWidth(line[index] ?? ""))));
  const minimum = columns.map((_, index) => Math.max(...cells.map((line) => longestWord(line[index] ?? ""))));
  const widths = fit(natural, minimum, width);
  return widths ? draw(cells, widths) : rows.map((row) => formatObject(row, columns)).join("\n");
}

/** A line for each member. */
export function formatObject(row: Row, members: readonly string[] = Object.keys(row)): string {
  return draw(members.map((member) => [title(member), text(row[member])]));
}

function draw(cells: string[][], widths?: number[]): string {
  return table(cells, {
    border: getBorderCharacters("void"),
    columnDefault: { paddingLeft: 0, paddingRight: gap, wrapWord: true },
    ...(widths && { columns: widths.map((width) => ({ width })) }),
    drawHorizontalLine: () => false,
  }).replace(/ +$/gm, "");
}

/**
 * Takes the missing space from the widest column first.
 * @returns `undefined` if the columns do not fit
 */
function fit(natural: number[], minimum: number[], available: number): number[] | undefined {
  const widths = [...natural];
  const least = minimum.map((width, index) => Math.max(width, Math.min(narrowest, natural[index] ?? 0)));
  const total = () => widths.reduce((sum, width) => sum + width + gap, -gap);
  while (total() > available) {
    const spare = widths.map((width, index) => (width > (least[index] ?? 0) ? width : 0));
    const widest = spare.indexOf(Math.max(...spare));
    if (spare[widest] === 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

const longestWord = (text: string): number => Math.max(...text.split(" ").map((word) => stringWidth(word)));

const title = (member: string): string => member.replaceAll("_", " ").toUpperCase();

function text(value: Row[string] | undefined): string {
  if (value === null || value === undefined) return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return escapeControls(typeof value === "object" ? value.join(" ") : String(value)).replaceAll("\n", "\\n");
}
