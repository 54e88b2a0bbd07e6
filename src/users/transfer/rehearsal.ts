/** What an import would do, without writing anything. */
import type { ForeignHash } from "../../passwords/foreign/foreignHash.ts";
import type { ImportedHash } from "../../passwords/foreign/importedHash.ts";
import type { Entry } from "./entry.ts";
import { type ImportCounts, type ImportParts, readEntry } from "./importUsers.ts";
import type { UserRow } from "./userRow.ts";

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

/** @param watched the canonical names of users whose hashes are returned */
export async function rehearseImport(
  entries: AsyncIterable<Entry>,
  { store, known, onRefused, onProgress }: ImportParts,
  watched: ReadonlySet<string>,
): Promise<Rehearsal> {
  const counts: ImportCounts = { imported: 0, existing: 0, refused: 0 };
  const forms = new Map<string, FormSummary>();
  const hashes = new Map<string, string>();
  const countBatch = async (batch: readonly UserRow[]) => {
    const names = new Set((await store.findAny(batch)).map(({ username }) => username));
    const existing = batch.filter(({ username }) => names.has(username)).length;
    counts.existing += existing;
    counts.imported += batch.length - existing;
    onProgress(counts);
  };

  let batch: UserRow[] = [];
  for await (const entry of entries) {
    const row = readEntry(entry, known);
    if ("refusal" in row) {
      counts.refused += 1;
      onRefused(entry, row.refusal);
      continue;
    }
    summarize(forms, row.hash);
    if (watched.has(row.username)) hashes.set(row.username, row.hash.stored);
    batch.push(row);
    if (batch.length < batchSize) continue;
    await countBatch(batch);
    batch = [];
  }
  await countBatch(batch);
  return { counts, forms: [...forms.values()].toSorted((one, other) => other.users - one.users), hashes };
}

function summarize(forms: Map<string, FormSummary>, { hash, stored }: ImportedHash): void {
  const form = hash?.form ?? "no password";
  const summary = forms.get(form) ?? { form, users: 0, costliest: hash, stored };
  const isCostlier = hash !== undefined && hash.work > (summary.costliest?.work ?? 0);
  forms.set(form, { ...summary, users: summary.users + 1, ...(isCostlier && { costliest: hash, stored }) });
}
