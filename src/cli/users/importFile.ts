/** The file of an import, its refused lines, and the progress on a terminal. */
import { closeSync, openSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { defaultRole } from "../../access/rights.ts";
import { InputError } from "../../errors.ts";
import { readCsv } from "../../users/transfer/csv.ts";
import type { Entry, Format } from "../../users/transfer/entry.ts";
import type { ImportCounts, ImportParts } from "../../users/transfer/importUsers.ts";
import { readNdjson } from "../../users/transfer/ndjson.ts";
import { transferStore } from "../../users/transfer/store.ts";
import type { Tools } from "../database.ts";
import { counted, printMessage } from "../output.ts";

/** `errors`: the file for refused lines. */
export type ImportOptions = { format?: Format | undefined; errors?: string | undefined; json?: true | undefined };

type OpenImport = ImportParts & {
  /** Throws an `AbortError` after a signal that stops the program. */
  entries: AsyncGenerator<Entry>;
  close(): void;
};

/** How many refused lines a terminal shows. Elsewhere, all are written. */
const maxShown = 20;
const progressIntervalMs = 100;

/** By the ending of its name; newline-delimited JSON by default. */
export const formatOf = (file: string | undefined): Format => (file?.toLowerCase().endsWith(".csv") ? "csv" : "ndjson");

/** @throws {InputError} if the file cannot be read, or the file for refused lines not be created */
export async function openImport(
  { database, config }: Tools,
  file: string,
  { format = formatOf(file), errors }: ImportOptions,
): Promise<OpenImport> {
  const { stream, size } = await openInput(file);
  const refusedLines = errors === undefined ? undefined : createRefusedFile(errors);
  const progress = progressLine(size);
  const read = countBytes(addAbortSignal(interruption(), stream), progress.onBytes);
  let refused = 0;
  const store = transferStore(database);
  return {
    entries: format === "csv" ? readCsv(read, (header) => refusedLines?.write(header)) : readNdjson(read),
    store,
    known: {
      roles: new Set(await store.roleNames()),
      defaultRole,
      cost: { memoryKiB: config.argon2MemoryKib, passes: config.argon2Passes },
    },
    onRefused({ line, text }, refusal) {
      refusedLines?.write(text);
      refused += 1;
      if (process.stderr.isTTY && refused > maxShown) return;
      progress.clear();
      printMessage(`Line ${line}: ${refusal}.`);
    },
    onProgress: progress.onCounts,
    close() {
      progress.clear();
      refusedLines?.close();
      if (process.stderr.isTTY && refused > maxShown)
        printMessage(`${counted(refused - maxShown, "more line")} refused. --errors FILE writes all of them.`);
    },
  };
}

/** @returns a signal that is aborted by SIGINT or SIGTERM. Another one exits at once. */
function interruption(): AbortSignal {
  const interrupted = new AbortController();
  for (const [name, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    const earlier = process.listeners(name);
    process.once(name, () => {
      process.exitCode = status;
      process.once(name, () => process.exit(status));
      interrupted.abort();
    });
    for (const listener of earlier) process.off(name, listener);
  }
  return interrupted.signal;
}

/** @throws {InputError} */
export function requireNoneRefused({ refused }: ImportCounts): void {
  if (refused > 0) throw new InputError(`${counted(refused, "line")} ${refused === 1 ? "was" : "were"} refused.`);
}

async function openInput(file: string): Promise<{ stream: Readable; size: number | undefined }> {
  if (file === "-") return { stream: process.stdin, size: undefined };
  try {
    const handle = await open(file);
    const stats = await handle.stat();
    if (stats.isDirectory()) throw new InputError(`${file} is a folder.`);
    return { stream: handle.createReadStream(), size: stats.isFile() ? stats.size : undefined };
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`${file} cannot be read (${codeOf(error)}).`);
  }
}

/** The lines contain hashes, so only their owner can read them. */
function createRefusedFile(file: string): { write(line: string): void; close(): void } {
  try {
    const descriptor = openSync(file, "wx", 0o600);
    return { write: (line) => void writeSync(descriptor, `${line}\n`), close: () => closeSync(descriptor) };
  } catch (error) {
    throw new InputError(`${file} cannot be created (${codeOf(error)}).`);
  }
}

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "unknown error";

async function* countBytes(input: AsyncIterable<Buffer>, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    yield chunk;
    onBytes(chunk.length);
  }
}

/** Shows the progress on one line of a terminal. */
function progressLine(size: number | undefined) {
  const { stderr } = process;
  let bytes = 0;
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    onBytes(more: number): void {
      bytes += more;
    },
    onCounts({ imported, existing, refused }: ImportCounts): void {
      const now = performance.now();
      if (!stderr.isTTY || now - shownAt < progressIntervalMs) return;
      shownAt = now;
      const users = counted(imported + existing + refused, "user");
      stderr.write(`\r\u001B[K${bar(size === undefined ? undefined : bytes / size)}${users}`);
    },
    clear(): void {
      if (stderr.isTTY && shownAt > 0) stderr.write("\r\u001B[K");
    },
  };
}

const barWidth = 30;

function bar(part: number | undefined): string {
  if (part === undefined) return "";
  const filled = Math.round(Math.min(1, part) * barWidth);
  return `[${"#".repeat(filled)}${" ".repeat(barWidth - filled)}] ${Math.floor(Math.min(1, part) * 100)} %  `;
}
