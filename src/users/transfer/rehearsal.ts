/** What an import would do, without writing anything. */

import { v7 as uuidv7 } from "uuid";
import type { ForeignHash } from "../../passwords/foreign/foreignHash.ts";
import type { ImportedHash } from "../../passwords/foreign/importedHash.ts";
import type { Entry } from "./entry.ts";
import { explainConflict, type ImportCounts, type ImportParts, type ReadEntry, readEntry } from "./importUsers.ts";

export type FormSummary = {
  form: string;
  users: number;
  /** The hash that takes the longest to check; `undefined` if no password matches. */
  costliest: ForeignHash | undefined;
  /** That hash, as it would be stored. */
  stored: string;
};

export type Rehearsal = {
  /** `imported`: the number of users that would be. */
  counts: ImportCounts;
  /** The most frequent form first. */
  forms: FormSummary[];
  /** The stored hashes of the users to check, by username. */
  hashes: Map<string, string>;
};

const batchSize = 500;

/**
 * Refuses the lines that an import would refuse now. Keeps the names of the file in memory, about 200 bytes for each user.
 * @param watched the canonical names of users whose hashes are returned
 */
export async function rehearseImport(
  entries: AsyncIterable<Entry>,
  { store, known, onRefused, onProgress }: ImportParts,
  watched: ReadonlySet<string>,
): Promise<Rehearsal> {
  const counts: ImportCounts = { imported: 0, existing: 0, refused: 0 };
  const forms = new Map<string, FormSummary>();
  const hashes = new Map<string, string>();
  /** With the users whom the import would have created before. */
  const taken = { idsByName: new Map<string, string>(), ids: new Set<string>(), firstId: uuidv7() };
  const refuse = (entry: Entry, refusal: string) => {
    counts.refused += 1;
    onRefused(entry, refusal);
  };
  const rehearseBatch = async (batch: readonly ReadEntry[]) => {
    const rows = batch.map(({ row }) => row);
    const [found, endedIds] = [await store.findAny(rows), new Set<string>(await store.findEndedIds(rows))];
    for (const { username, id } of found) {
      taken.idsByName.set(username, id);
      taken.ids.add(id);
    }
    for (const { entry, row } of batch) {
      const { id = "", username, hash } = row;
      const isNew = !taken.idsByName.has(username) && !taken.ids.has(id) && !endedIds.has(id);
      const refusal = isNew ? undefined : explainConflict(row, taken);
      if (refusal !== undefined) {
        refuse(entry, refusal);
        continue;
      }
      counts[isNew ? "imported" : "existing"] += 1;
      summarize(forms, hash);
      if (watched.has(username)) hashes.set(username, hash.stored);
      taken.idsByName.set(username, taken.idsByName.get(username) ?? (id || taken.firstId));
      if (id) taken.ids.add(id);
    }
    onProgress(counts);
  };

  let batch: ReadEntry[] = [];
  for await (const entry of entries) {
    const row = readEntry(entry, known);
    if ("refusal" in row) refuse(entry, row.refusal);
    else batch.push({ entry, row });
    if (batch.length < batchSize) continue;
    await rehearseBatch(batch);
    batch = [];
  }
  await rehearseBatch(batch);
  return { counts, forms: [...forms.values()].toSorted((one, other) => other.users - one.users), hashes };
}

function summarize(forms: Map<string, FormSummary>, { hash, stored }: ImportedHash): void {
  const form = hash?.form ?? "no password";
  const summary = forms.get(form) ?? { form, users: 0, costliest: hash, stored };
  const isCostlier = hash !== undefined && hash.work > (summary.costliest?.work ?? 0);
  forms.set(form, { ...summary, users: summary.users + 1, ...(isCostlier && { costliest: hash, stored }) });
}
