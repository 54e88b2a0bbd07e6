/** Imports users in batches. Each batch is one statement, so an import that was interrupted can be repeated. */
import { v7 as uuidv7 } from "uuid";
import { userId } from "../../identifiers.ts";
import type { Entry } from "./entry.ts";
import type { TransferStore } from "./storeTypes.ts";
import { type KnownValues, type Refusal, readUserRow, type UserRow } from "./userRow.ts";

/** The file also contains entries that were refused. */
export type ImportCounts = { imported: number; existing: number; refused: number };

export type ImportParts = {
  store: TransferStore;
  known: KnownValues;
  /** Called for each entry that is not imported, in the order of a batch. */
  onRefused: (entry: Entry, refusal: string) => void;
  /** Called after each batch, with the counts so far. */
  onProgress: (counts: ImportCounts) => void;
};

/** A line that could be read as a user. */
export type ReadEntry = { entry: Entry; row: UserRow };

/** A statement with this number of rows takes about 20 ms. */
const batchSize = 500;

/**
 * Existing users stay as they are. A user exists if the name is the same, and the id as well if the file has one.
 */
export async function importUsers(
  entries: AsyncIterable<Entry>,
  { store, known, onRefused, onProgress }: ImportParts,
): Promise<ImportCounts> {
  const counts: ImportCounts = { imported: 0, existing: 0, refused: 0 };
  /** A user without an id in the file gets a higher one. */
  const firstId = uuidv7();
  const refuse = (entry: Entry, refusal: string) => {
    counts.refused += 1;
    onRefused(entry, refusal);
  };
  const insertBatch = async (batch: readonly ReadEntry[]) => {
    const rows = batch.map(({ row }) => ({ ...row, id: row.id ?? userId(uuidv7()) }));
    const inserted = new Set((await store.insert(rows)).map(({ id }) => id));
    counts.imported += inserted.size;
    const rest = batch.filter((_, index) => !inserted.has(rows[index]?.id ?? userId("")));
    if (rest.length > 0) {
      for (const { entry, refusal } of await explainConflicts(rest, store, firstId)) {
        if (refusal === undefined) counts.existing += 1;
        else refuse(entry, refusal);
      }
    }
    onProgress(counts);
  };

  let batch: ReadEntry[] = [];
  for await (const entry of entries) {
    const read = readEntry(entry, known);
    if ("refusal" in read) refuse(entry, read.refusal);
    else batch.push({ entry, row: read });
    if (batch.length < batchSize) continue;
    await insertBatch(batch);
    batch = [];
  }
  if (batch.length > 0) await insertBatch(batch);
  return counts;
}

/** @returns the row of an entry, or why it is refused */
export const readEntry = (entry: Entry, known: KnownValues): UserRow | Refusal =>
  "refusal" in entry ? entry : readUserRow(entry.record, known);

/** @returns why a row was not inserted; `undefined` if the user exists */
async function explainConflicts(
  rows: readonly ReadEntry[],
  store: TransferStore,
  firstId: string,
): Promise<{ entry: Entry; refusal: string | undefined }[]> {
  const found = await store.findAny(rows.map(({ row }) => row));
  const idsByName = new Map(found.map(({ username, id }) => [username, id]));
  const ids = new Set(found.map(({ id }) => id));
  return rows.map(({ entry, row }) => ({ entry, refusal: explainConflict(row, { idsByName, ids, firstId }) }));
}

/** The users who have the names and the ids of rows. */
export type TakenNames = {
  idsByName: ReadonlyMap<string, string>;
  ids: ReadonlySet<string>;
  /** Lower than the id of each user whom this import has created without one in the file. */
  firstId: string;
};

/** @returns why a row that conflicts with a user is refused; `undefined` if it is this user */
export function explainConflict(
  { id, username }: UserRow,
  { idsByName, ids, firstId }: TakenNames,
): string | undefined {
  const namesake = idsByName.get(username);
  if (namesake !== undefined && id === undefined)
    return namesake < firstId ? undefined : "has a username that occurred before, or was registered meanwhile";
  if (namesake !== undefined)
    return namesake === id ? undefined : "has a username that belongs to a user with another id";
  return id !== undefined && ids.has(id)
    ? "has an id that belongs to a user with another username"
    : "has the id of a user who was deleted within the last day: without an id, the user gets a new one";
}
