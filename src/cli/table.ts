/** Formats tables for a terminal. */
import stringWidth from "string-width";
import { getBorderCharacters, table } from "table";
import { escapeControls } from "./output.ts";

/** A member of the row, or a title with what the column has. */
export type Column<Row> = (keyof Row & string) | readonly [title: string, value: (row: Row) => unknown];

/** Spaces between two columns. */
const gap = 2;
/** A column with text is not narrower than this, in terminal columns. */
const narrowest = 12;

type TableOptions<Row> = {
  columns: readonly Column<Row>[];
  /** The titles of columns that a narrow terminal does not show. The first one is left out first. */
  optional?: readonly string[] | undefined;
  /** In terminal columns. */
  width: number;
};

/**
 * A line for each row, below a line with the names of the columns. If a line does not fit the width, long texts are wrapped at
 * spaces, then optional columns are left out. Ids and times are not cut: if even they do not fit, each row becomes a block of lines.
 */
export function formatTable<Row>(rows: readonly Row[], { columns, optional = [], width }: TableOptions<Row>): string {
  for (let left = 0; left <= optional.length; left += 1) {
    const leftOut = optional.slice(0, left);
    const shown = columns.filter((column) => !leftOut.includes(typeof column === "string" ? column : column[0]));
    const text = formatLines(rows, shown, width);
    if (text !== undefined) return text;
  }
  return rows.map((row) => formatObject(row, columns)).join("\n");
}

/** @returns `undefined` if the columns do not fit */
function formatLines<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number): string | undefined {
  const cells = [columns.map(title), ...rows.map((row) => columns.map((column) => cell(row, column)))];
  const natural = columns.map((_, index) => Math.max(...cells.map((line) => stringWidth(line[index] ?? ""))));
  const minimum = columns.map((_, index) => Math.max(...cells.map((line) => longestWord(line[index] ?? ""))));
  const widths = fit(natural, minimum, width);
  return widths && draw(cells, widths);
}

/** A line for each column. */
export function formatObject<Row>(row: Row, columns: readonly Column<Row>[]): string {
  return draw(columns.map((column) => [title(column), cell(row, column)]));
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

const title = <Row>(column: Column<Row>): string =>
  (typeof column === "string" ? column : column[0]).replaceAll("_", " ").toUpperCase();

const cell = <Row>(row: Row, column: Column<Row>): string =>
  escapeControls(text(typeof column === "string" ? row[column] : column[1](row))).replaceAll("\n", "\\n");

function text(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return Array.isArray(value) ? value.map(text).join(" ") || "-" : String(value);
}
