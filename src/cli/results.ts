/** Prints what a command lists or shows: a table on a terminal, JSON elsewhere and with `--json`. */
import { escapeControls, printLine, printMessage, printText } from "./output.ts";
import type { Column } from "./table.ts";

type Options<Row> = {
  /** The columns of a table, or the lines of an object. JSON has all members. */
  columns: readonly Column<Row>[];
  /** The titles of columns that a narrow terminal does not show. The first one is left out first. */
  optional?: readonly string[];
  json: true | undefined;
};

/** Any number of items, in parts. */
type Pages<Item> = AsyncIterable<readonly Item[]> | Iterable<readonly Item[]>;

const isTable = (json: true | undefined): boolean => process.stdout.isTTY && !json;

/**
 * Prints rows page by page, so that any number of rows needs little memory. Rows are objects as in the API.
 * @param options.none what to say if there are no rows and a person reads
 */
export async function printRows<Row extends object>(
  pages: Pages<Row>,
  { none, ...options }: Options<Row> & { none: string },
): Promise<void> {
  let count = 0;
  for await (const rows of pages) {
    if (rows.length > 0 && !(await printPage(rows, options))) return;
    count += rows.length;
  }
  if (count === 0 && isTable(options.json)) printMessage(none);
}

/** Prints one object as in the API: on a terminal, a line for each column, which are the members by default. */
export async function printObject<Row extends object>(
  row: Row,
  json?: true,
  columns: readonly Column<Row>[] = Object.keys(row).map((member) => member as keyof Row & string),
): Promise<void> {
  if (!isTable(json)) return void (await printText(toJson(row)));
  const { formatObject } = await import("./table.ts");
  await printText(formatObject(row, columns));
}

/** Prints what a command has done: a sentence, or with `--json` the object that it changed or deleted. */
export async function printDone(sentence: string, row: object, json: true | undefined): Promise<void> {
  if (json) await printText(toJson(row));
  else printLine(sentence);
}

/** @returns whether something still reads */
async function printPage<Row extends object>(
  rows: readonly Row[],
  { json, ...options }: Options<Row>,
): Promise<boolean> {
  if (!isTable(json)) return printText(rows.map(toJson).join(""));
  const { formatTable } = await import("./table.ts");
  return printText(formatTable(rows, { ...options, width: process.stdout.columns || 80 }));
}

/** JSON may contain every character that is unsafe on a terminal as an escape. */
const toJson = (row: object): string => `${escapeControls(JSON.stringify(row))}\n`;
