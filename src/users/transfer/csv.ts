/** CSV (RFC 4180) with a header. An empty field counts as absent, and roles are separated by spaces. */
import { Readable } from "node:stream";
import { parse } from "csv-parse";
import { stringify } from "csv-stringify/sync";
import { InputError } from "../../errors.ts";
import { type Entry, maxEntryBytes } from "./entry.ts";
import type { ExportedUser } from "./storeTypes.ts";
import { memberNames } from "./userRow.ts";

type Parsed = { record: Record<string, string>; raw: string; info: { lines: number } };

/**
 * An entry that is not CSV is refused, and the next one is read.
 * @throws {InputError} if the header has an unknown column, or lacks a column that every user needs
 */
export async function* readCsv(input: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
  const refused: Entry[] = [];
  let lastLine = 1;
  const parser = Readable.from(input, { objectMode: false }).compose<ReturnType<typeof parse>>(
    parse({
      bom: true,
      columns: requireColumns,
      info: true,
      raw: true,
      skip_empty_lines: true,
      skip_records_with_error: true,
      max_record_size: maxEntryBytes,
      on_skip: (error) => {
        refused.push({ line: lastLine + 1, text: "", refusal: `is not CSV (${error?.code ?? "unknown"})` });
      },
    }),
  );
  for await (const parsed of parser) {
    const { record, raw, info }: Parsed = parsed;
    yield* refused.splice(0);
    lastLine = info.lines;
    yield { line: info.lines, text: raw.replace(/\r?\n$/, ""), ...toRecord(record) };
  }
  yield* refused.splice(0);
}

function requireColumns(header: string[]): string[] {
  const unknown = header.find((name) => !memberNames.some((known) => known === name));
  if (unknown !== undefined)
    throw new InputError(
      `The header has the unknown column ${JSON.stringify(unknown.slice(0, 40))}. Columns: ${memberNames.join(", ")}.`,
    );
  for (const name of ["username", "password_hash"])
    if (!header.includes(name)) throw new InputError(`The header lacks the column ${name}.`);
  return header;
}

function toRecord(fields: Record<string, string>): { record: unknown } | { refusal: string } {
  if (Object.values(fields).some((field) => field.includes("\u{FFFD}"))) return { refusal: "is not UTF-8" };
  const present = Object.entries(fields).filter(([, field]) => field !== "");
  const record: Record<string, unknown> = Object.fromEntries(present);
  const { blocked, roles } = fields;
  if (blocked === "true" || blocked === "false") record["blocked"] = blocked === "true";
  if (roles) record["roles"] = roles.split(" ").filter((role) => role !== "");
  return { record };
}

export const csvHeader = `${memberNames.join(",")}\n`;

/** @returns the line of a user, with its line break */
export const toCsv = (user: ExportedUser): string =>
  stringify([memberNames.map((name) => (name === "roles" ? user.roles.join(" ") : user[name]))], {
    cast: { boolean: String },
  });
