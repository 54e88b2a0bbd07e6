/** What an import reads from a file: one user per entry. */

/** `line`: the first line of the entry, from 1. `text`: the entry as it is in the file. */
export type Entry = { line: number; text: string } & ({ record: unknown } | { refusal: string });

/** Longer entries are refused. A hash has at most 4,096 characters. */
export const maxEntryBytes = 65_536;

export const formats = ["ndjson", "csv"] as const;
export type Format = (typeof formats)[number];
