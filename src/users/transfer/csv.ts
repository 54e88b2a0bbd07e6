/** CSV (RFC 4180) with a header. An empty field counts as absent, and roles are separated by spaces. */
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { stringify } from "csv-stringify/sync";
import { InputError } from "../../errors.ts";
import { type Entry, maxEntryBytes } from "./entry.ts";
import type { ExportedUser } from "./storeTypes.ts";
import { memberNames } from "./userRow.ts";

type Parsed = { record: string[]; raw: string; info: { lines: number } };

/**
 * Reads a file. A line with another number of fields is refused, and the next one is read.
 * @throws {InputError} if the header has an unknown column or lacks one that every user needs, and at quotes that are wrong,
 * because it is unknown where the next line begins
 * @param onHeader is called with the first line
 */
export async function* readCsv(
  input: AsyncIterable<Buffer>,
  onHeader: (text: string) => void = () => {},
): AsyncGenerator<Entry> {
  const options = { bom: true, info: true, raw: true, skip_empty_lines: true, relax_column_count: true } as const;
  const parser = parse({ ...options, max_record_size: maxEntryBytes });
  // An error of the input ends the parser as well.
  const source = Readable.from(input).once("error", (error) => parser.destroy(error));
  let header: string[] | undefined;
  try {
    for await (const parsed of source.pipe(parser)) {
      const { record: fields, raw, info }: Parsed = parsed;
      const text = raw.replace(/\r?\n$/, "");
      if (header) yield { line: info.lines, text, ...toRecord(header, fields) };
      else {
        requireColumns(fields);
        header = fields;
        onHeader(text);
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    // The message of the library repeats a part of the line.
    const line = String(error["lines"] ?? "?");
    throw new InputError(
      `Line ${line}: this is not CSV, or one line has more than ${maxEntryBytes} bytes (${error.code}).`,
    );
  }
}

function requireColumns(header: string[]): void {
  const unknown = header.find((name) => !memberNames.some((known) => known === name));
  if (unknown !== undefined)
    throw new InputError(
      `The header has the unknown column ${JSON.stringify(unknown.slice(0, 40))}. Columns: ${memberNames.join(", ")}.`,
    );
  if (new Set(header).size < header.length) throw new InputError("The header has a column twice.");
  for (const name of ["username", "password_hash"])
    if (!header.includes(name)) throw new InputError(`The header lacks the column ${name}.`);
}

function toRecord(header: string[], fields: string[]): { record: unknown } | { refusal: string } {
  if (fields.length !== header.length)
    return { refusal: `has ${fields.length} fields, and the header has ${header.length}` };
  if (fields.some((field) => field.includes("\u{FFFD}"))) return { refusal: "is not UTF-8" };
  const members = header.map((name, index) => [name, toMember(name, fields[index] ?? "")]);
  return { record: Object.fromEntries(members) };
}

function toMember(name: string, field: string): unknown {
  if (field === "") return undefined;
  if (name === "roles") return field.split(" ").filter((role) => role !== "");
  return name === "blocked" && (field === "true" || field === "false") ? field === "true" : field;
}

export const csvHeader = `${memberNames.join(",")}\n`;

/** @returns the line of a user, with its line break */
export const toCsv = (user: ExportedUser): string =>
  stringify([memberNames.map((name) => (name === "roles" ? user.roles.join(" ") : user[name]))], {
    cast: { boolean: String },
  });
