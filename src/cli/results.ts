/** Prints what a command lists or shows: a table on a terminal, JSON elsewhere and with `--json`. */
import { escapeControls, printMessage, printText } from "./output.ts";
import type { Row } from "./table.ts";

type Options<Member extends string> = {
  /** The members in a table, in this order. JSON has all members. */
  columns: readonly Member[];
  json: true | undefined;
};

/** Any number of rows, in parts. */
type Pages<Item> = AsyncIterable<readonly Item[]> | Iterable<readonly Item[]>;

const isTable = (json: true | undefined): boolean => process.stdout.isTTY && !json;

/**
 * Prints rows page by page, so that any number of rows needs little memory.
 * @param options.none what to say if there are no rows and a person reads
 */
export async function printRows<Member extends string>(
  pages: Pages<Row & Record<Member, unknown>>,
  { columns, json, none }: Options<Member> & { none: string },
): Promise<void> {
  let count = 0;
  for await (const rows of pages) {
    if (rows.length > 0 && !(await printPage(rows, { columns, json }))) return;
    count += rows.length;
  }
  if (count === 0 && isTable(json)) printMessage(none);
}

/** Prints one object: on a terminal, a line for each member. */
export async function printObject(row: Row, json?: true): Promise<void> {
  const { formatObject } = isTable(json) ? await import("./table.ts") : { formatObject: undefined };
  await printText(formatObject ? formatObject(row) : toJson(row));
}

/** @returns whether something still reads */
async function printPage(rows: readonly Row[], { columns, json }: Options<string>): Promise<boolean> {
  if (!isTable(json)) return printText(rows.map(toJson).join(""));
  const { formatTable } = await import("./table.ts");
  return printText(formatTable(rows, { columns, width: process.stdout.columns || 80 }));
}

/** JSON may contain every character that is unsafe on a terminal as an escape. */
const toJson = (row: Row): string => `${escapeControls(JSON.stringify(row))}\n`;
